"""A graph isomorphism network that reads noisy molecules: the value network of this domain."""

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch_geometric.nn import DenseGINConv

from svlearn.domains.molecules.features import NUM_ATOM_FEATURES, structural_features
from svlearn.domains.molecules.graph import ATOMS, MASKED_BOND, pair_mask, to_dense

RELATIONS = (1, 2, 3, MASKED_BOND)


class GraphIsomorphismNetwork(nn.Module):
    """f(x_t, t), (B,): a GIN (Xu et al., arXiv 1810.00826) with one aggregation per bond type, conditioned on t.

    h_i <- h_i + MLP(Σ_r W_r ((1 + ε_r) h_i + Σ_{j: bond ij is r} h_j)), r over single, double, triple and undecided
    bonds; the read-out is an MLP of the sum and the maximum over atoms and of t. Invariant to the atoms' numbering.
    It reads tokens, or their one-hots (`MaskedTransition.expansion_point`), in which it can be differentiated.
    """

    def __init__(self, num_steps: int, width: int = 64, depth: int = 4):
        super().__init__()
        self.hyperparameters = dict(num_steps=num_steps, width=width, depth=depth)
        self.atom_embedding = nn.Embedding(len(ATOMS) + 1, width)
        self.atom_features = nn.Linear(NUM_ATOM_FEATURES, width)
        self.time_embedding = nn.Embedding(num_steps + 1, width)
        self.layers = nn.ModuleList(IsomorphismLayer(width) for _ in range(depth))
        self.readout = nn.Sequential(nn.LayerNorm(3 * width), nn.Linear(3 * width, 2 * width), nn.SiLU())
        self.head = nn.Linear(2 * width, 1)

    def forward(self, x: TensorDict, t: Tensor) -> Tensor:
        mask, soft = x["mask"], x["atoms"].is_floating_point()
        bonds = x["bonds"] if soft else torch.where(pair_mask(mask), x["bonds"], 0)
        dense = to_dense(bonds, mask.shape[1])
        kind = self.atom_embedding.weight.dtype
        adjacency = [(dense[..., each] if soft else dense == each).to(kind) for each in RELATIONS]
        time = self.time_embedding(t)
        atoms = x["atoms"].to(kind) @ self.atom_embedding.weight if soft else self.atom_embedding(x["atoms"])
        nodes = atoms + self.atom_features(structural_features(x)[0].to(kind)) + time.unsqueeze(1)
        for layer in self.layers:
            nodes = layer(nodes, adjacency) * mask.unsqueeze(-1)
        lowest = nodes.masked_fill(~mask.unsqueeze(-1), torch.finfo(nodes.dtype).min)
        pooled = torch.cat([nodes.sum(dim=1) / mask.shape[1], lowest.amax(dim=1), time], dim=-1)
        return self.head(self.readout(pooled)).squeeze(-1)


class IsomorphismLayer(nn.Module):
    """One round of messages: each relation sums over its neighbours, and one MLP reads all relations."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolutions = nn.ModuleList(DenseGINConv(nn.Linear(width, width), train_eps=True) for _ in RELATIONS)
        self.update = nn.Sequential(nn.SiLU(), nn.Linear(width, width))

    def forward(self, nodes: Tensor, adjacency: list[Tensor]) -> Tensor:
        read = self.norm(nodes)
        messages = [convolve(read, each) for convolve, each in zip(self.convolutions, adjacency)]
        return nodes + self.update(torch.stack(messages).sum(dim=0))
