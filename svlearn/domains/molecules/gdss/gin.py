"""A graph isomorphism network that reads the real features and edge weights of GDSS: a value, or a reward network."""

import math
from pathlib import Path

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn import checkpoints
from svlearn.domains.molecules.gin import IsomorphismLayer

ORDERS = (1.0, 2.0, 3.0)
WIDTH_OF_ORDER = 0.4  # near the noise of the last steps; wide enough that early edges still have a gradient
NODES = 38.0  # the scale of a sum over nodes, ZINC-250k's largest molecule
NUM_WAVES = 16


class GraphValueNetwork(nn.Module):
    """f(x_t, t), (B,), t = 0 ... T, of states of `gdss.state`: a GIN (arXiv 1810.00826) conditioned on t.

    h_i <- h_i + MLP(Σ_r W_r ((1 + ε_r) h_i + Σ_j a^r_ij h_j)), with a^0 the edge weights as they are, and a^k =
    exp(-(adj - k)² / 2·0.4²), how near an edge is to the bond of order k = 1, 2, 3. The read-out is an MLP of the sum
    and the maximum over nodes and of t. Smooth almost everywhere in x and adj, so that it guides by its gradient;
    invariant to how nodes are numbered, and what belongs to no node is not read.

    t enters by waves cos(π k t/T), k = 0 ... 15 and T: the last tells a corrector's step from a predictor's.
    At T it is a reward network, see `PredictedReward`.
    """

    def __init__(self, num_steps: int, num_features: int = 9, width: int = 64, depth: int = 3):
        super().__init__()
        self.hyperparameters = dict(num_steps=num_steps, num_features=num_features, width=width, depth=depth)
        self.num_steps = num_steps
        self.node_embedding = nn.Linear(num_features + 1 + len(ORDERS), width)
        self.time_embedding = nn.Linear(NUM_WAVES + 1, width)
        self.layers = nn.ModuleList(IsomorphismLayer(width) for _ in range(depth))
        self.readout = nn.Sequential(nn.LayerNorm(3 * width), nn.Linear(3 * width, 2 * width), nn.SiLU())
        self.head = nn.Linear(2 * width, 1)
        self.register_buffer("waves", torch.tensor([*range(NUM_WAVES), num_steps]) * math.pi / num_steps, False)

    def forward(self, x: TensorDict, t: Tensor) -> Tensor:
        occupied = x["mask"].any(dim=0)  # the batch's largest graph is often smaller than the state
        mask, features = x["mask"][:, occupied], x["x"][:, occupied]
        edges = relations(x["adj"][:, occupied][:, :, occupied], mask)
        time = self.time_embedding((t.unsqueeze(1) * self.get_buffer("waves")).cos().to(features.dtype))
        degrees = torch.stack([each.sum(dim=2) for each in edges], dim=2)
        nodes = self.node_embedding(torch.cat([features, degrees], dim=2)) + time.unsqueeze(1)
        real = mask.unsqueeze(2)
        nodes = nodes.masked_fill(~real, 0)
        for layer in self.layers:
            nodes = layer(nodes, edges).masked_fill(~real, 0)
        lowest = nodes.masked_fill(~real, torch.finfo(nodes.dtype).min)
        pooled = torch.cat([nodes.sum(dim=1) / NODES, lowest.amax(dim=1), time], dim=1)
        return self.head(self.readout(pooled)).squeeze(1)


class PredictedReward(nn.Module):
    """r_θ(x_T) = f(x_T, T), (B,): a differentiable stand-in for a reward, of finished graphs or of x̂_T.

    `PosteriorMean(Target(PredictedReward(network), alpha))` guides as DPS does (arXiv 2209.14687).
    """

    def __init__(self, network: GraphValueNetwork):
        super().__init__()
        self.network = network

    def forward(self, states: TensorDict) -> Tensor:
        t = torch.full((len(states),), self.network.num_steps, device=states["x"].device)
        return self.network(states, t)


def save_network(network: GraphValueNetwork, path: str | Path, **record: object) -> Path:
    """Write a network with what it takes to build it, and a record."""
    return checkpoints.save(network, path, network=network.hyperparameters, **record)


def read_network(path: str | Path) -> GraphValueNetwork:
    """The network of `save_network`, in evaluation mode, its parameters fixed: for a `PredictedReward` of a YAML.

    Raises FileNotFoundError for a file that is missing, ValueError for one that `save_network` has not written.
    """
    record = checkpoints.read_record(path)
    if "network" not in record:
        raise ValueError(f"{path}: expected a file of gin.save_network, got one that does not say how to build it")
    network = checkpoints.build(GraphValueNetwork, record, path)
    return checkpoints.load_into(network, path).eval().requires_grad_(False)


def relations(adj: Tensor, mask: Tensor) -> list[Tensor]:
    """The edge weights of adj (B, N, N) and their nearness to each bond order, 4 of (B, N, N), 0 where no edge is."""
    real = mask.unsqueeze(2) & mask.unsqueeze(1) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    near = [(-0.5 * ((adj - order) / WIDTH_OF_ORDER) ** 2).exp() for order in ORDERS]
    return [each.masked_fill(~real, 0) for each in (adj, *near)]
