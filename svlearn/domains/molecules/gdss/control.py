"""Policies of GDSS: the step's mean is moved by what the reference itself predicts and by networks that read it."""

import math
from collections.abc import Iterable
from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.domains.molecules.gdss.gin import ORDERS, GraphValueNetwork, PredictedReward, relations
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.gin import IsomorphismLayer
from svlearn.metering import count
from svlearn.policies import Controlled
from svlearn.process import Prediction, predict
from svlearn.state import State
from svlearn.transitions import Transition

NUM_WAVES = 4  # cos(π k t/T), k = 0 ... 3: what depends on t does so smoothly


class GraphControlled(Controlled):
    """q(x_{t+1} | x_t) = N(m_t + s_t² g_θ, s_t²) of a `GDSS`, with g_θ(x_t, t, x̂_T(x_t), ∇log p_τ(x_t)).

    x̂_T and the score come with the reference's prediction, which the step needs anyway; `control` alone, as adjoint
    matching asks for it, calls the reference once more, without its gradient. network: graph states x, t (B,), x̂_T and
    scores to the control of the graphs, nats per unit of x, each edge counted once, as the modules of this file do.
    Each of them is 0 when it is new, so that q starts as p_ref; `SumControl` adds them up.
    Raises TypeError for another reference.
    """

    reference: GDSS

    def __init__(self, reference: GDSS, network: nn.Module):
        if not isinstance(reference, GDSS):
            raise TypeError(f"reference: expected a GDSS, got {type(reference).__name__}")
        super().__init__(reference, network)

    def control(self, x: State, t: Tensor) -> TensorDict:
        """As `tilt` takes it: half of an edge's control at ij, half at ji."""
        with torch.no_grad():
            prediction = predict(self.reference, x, t)
        return self._control(prediction, cast(TensorDict, x), t)

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        return prediction.transition.tilt(self._control(prediction, cast(TensorDict, x), t))

    def trained(self) -> Iterable[nn.Parameter]:
        """Those of the network but for the fixed ones, as of a reward network that it reads."""
        return [each for each in self.network.parameters() if each.requires_grad]

    def _control(self, prediction: Prediction, x: TensorDict, t: Tensor) -> TensorDict:
        clean = cast(TensorDict, prediction.clean)
        control = self.network(x, t, clean, self.reference.scores_of_clean(x, clean, t))
        return continuous_state(control["x"], 0.5 * control["adj"], x["mask"])


class Gains(nn.Module):
    """γ(t) of the features and of the edges, (B, 2): Σ_k w_k cos(π k t/T), k = 0 ... 3. Eight numbers, 0 at first."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.num_steps = num_steps
        self.weights = nn.Linear(NUM_WAVES, 2, bias=False)
        nn.init.zeros_(self.weights.weight)

    def forward(self, direction: TensorDict, t: Tensor) -> TensorDict:
        """The direction, a graph state, times γ."""
        gains = self.weights(waves_of(t, self.num_steps).to(direction["x"].dtype))[:, :, None, None]
        return continuous_state(gains[:, 0] * direction["x"], gains[:, 1] * direction["adj"], direction["mask"])


class ScoreGain(nn.Module):
    """g = γ(t) ∇log p_τ(x_t): γ > 0 cools the process, γ = -1 takes the score back out of the step."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.gains = Gains(num_steps)

    def forward(self, x: TensorDict, t: Tensor, clean: TensorDict, scores: TensorDict) -> TensorDict:
        return self.gains(scores, t)


class RewardGain(nn.Module):
    """g = γ(t) strength ∇r_θ(x̂_T), the gradient in x̂_T: DPS without a pass through the reference, its strength learned.

    Eight numbers to train, which few trajectories can. network: r_θ, fixed, of `PredictedReward`. strength: nats per
    unit of reward at γ = 1, the scale on which γ is learned.
    """

    def __init__(self, num_steps: int, network: GraphValueNetwork, strength: float = 100.0):
        super().__init__()
        self.reward = PredictedReward(network).requires_grad_(False)
        self.gains, self.strength = Gains(num_steps), strength

    def forward(self, x: TensorDict, t: Tensor, clean: TensorDict, scores: TensorDict) -> TensorDict:
        return self.gains(self.slope(clean), t)

    def slope(self, clean: TensorDict) -> TensorDict:
        """strength ∇r_θ, each edge counted once."""
        count("gradient_calls", len(clean))
        with torch.inference_mode(False), torch.enable_grad():
            x, adj = (clean[name].detach().clone().requires_grad_() for name in ("x", "adj"))
            rewards = self.reward(continuous_state(x, adj, clean["mask"].clone()))
            of_x, of_adj = torch.autograd.grad(rewards.sum(), (x, adj))
        return continuous_state(self.strength * of_x, self.strength * (of_adj + of_adj.mT), clean["mask"])


class GraphControl(nn.Module):
    """g is what a GIN over x̂_T says of every node, and of every pair from its two nodes.

    A pair reads the sum of its nodes, its edge in x_t and that in x̂_T; so it does not matter how nodes are numbered,
    adj stays symmetric, and what belongs to no node is neither read nor moved.
    """

    def __init__(self, num_steps: int, num_features: int = 9, width: int = 32, depth: int = 2):
        super().__init__()
        self.num_steps = num_steps
        self.node_embedding = nn.Linear(2 * num_features + 1 + len(ORDERS) + NUM_WAVES, width)
        self.layers = nn.ModuleList(IsomorphismLayer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.ends, self.edges = nn.Linear(width, width), nn.Linear(2, width, bias=False)
        self.of_node = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, num_features))
        self.of_pair = nn.Sequential(nn.SiLU(), nn.Linear(width, 1))
        for last in (self.of_node[-1], self.of_pair[-1]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: TensorDict, t: Tensor, clean: TensorDict, scores: TensorDict) -> TensorDict:
        mask = x["mask"]
        nodes = self.norm(self._nodes(x, t, clean))
        ends, edges = self.ends(nodes), torch.stack([x["adj"], clean["adj"]], dim=3)
        pairs = self.of_pair(ends.unsqueeze(2) + ends.unsqueeze(1) + self.edges(edges)).squeeze(3)
        real = mask.unsqueeze(2) & mask.unsqueeze(1) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        return continuous_state(
            self.of_node(nodes).masked_fill(~mask.unsqueeze(2), 0),
            pairs.masked_fill(~real, 0),
            mask,
        )

    def _nodes(self, x: TensorDict, t: Tensor, clean: TensorDict) -> Tensor:
        """What the layers make of the nodes, (B, N, width), 0 where there is none."""
        absent = ~x["mask"].unsqueeze(2)
        bonds = relations(clean["adj"], x["mask"])
        degrees = torch.stack([each.sum(dim=2) for each in bonds], dim=2)
        waves = waves_of(t, self.num_steps).to(degrees.dtype).unsqueeze(1).expand(-1, degrees.shape[1], -1)
        features = torch.cat([x["x"], clean["x"], degrees, waves], dim=2)
        nodes = self.node_embedding(features).masked_fill(absent, 0)
        for layer in self.layers:
            nodes = layer(nodes, bonds).masked_fill(absent, 0)
        return nodes


class SumControl(nn.Module):
    """The sum of several controls."""

    def __init__(self, parts: list[nn.Module]):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: TensorDict, t: Tensor, clean: TensorDict, scores: TensorDict) -> TensorDict:
        controls = [part(x, t, clean, scores) for part in self.parts]
        return continuous_state(sum(each["x"] for each in controls), sum(each["adj"] for each in controls), x["mask"])


def waves_of(t: Tensor, num_steps: int) -> Tensor:
    """cos(π k t/T), (B, 4), of t (B,)."""
    return (t[:, None] * torch.arange(NUM_WAVES, device=t.device) * (math.pi / num_steps)).cos()
