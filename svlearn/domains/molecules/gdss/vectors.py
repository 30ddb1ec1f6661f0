"""GDSS on plain vectors, for objectives that want tensors with Gaussian steps: adjoint matching, stochastic control."""

from collections.abc import Callable
from typing import Any

import torch
from rdkit import Chem
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.state import continuous_state, free_entries, from_vector, to_vector
from svlearn.domains.molecules.graph import num_pairs
from svlearn.process import Prediction, Reference
from svlearn.transitions import GaussianTransition


class VectorGDSS(Reference):
    """The process of a `GDSS` over vectors (B, N F + P + N): features, each edge once, and 1 or 0 for every node.

    What belongs to a node that does not exist is fresh noise of each step's std, which nothing reads: so the std is
    the same for graphs of all sizes, as the adjoint's recursion needs, and it cancels in every ratio. `graphs` gives
    the state that a reward reads: Target(OnGraphs(reward), alpha).
    A corrector's std depends on the state: `AdjointMatching` refuses a reference that has one, made with
    corrector=False it does not.
    """

    def __init__(self, reference: GDSS):
        super().__init__()
        if not isinstance(reference, GDSS):
            raise TypeError(f"reference: expected a GDSS, got {type(reference).__name__}")
        self.reference, self.num_steps = reference, reference.num_steps
        self.nodes = len(reference.size_weights)
        self.widths = [self.nodes * reference.num_features, num_pairs(self.nodes), self.nodes]

    def graphs(self, x: Tensor) -> TensorDict:
        """The graph states of vectors (B, N F + P + N), zeros where nothing exists."""
        return graphs_of(x, self.nodes, self.reference.num_features)

    def vectors(self, states: TensorDict) -> Tensor:
        """The vectors of graph states (B,)."""
        return torch.cat([to_vector(states["x"], states["adj"]), states["mask"].to(states["x"].dtype)], dim=1)

    def scores(self, graphs: TensorDict, clean: TensorDict, t: Tensor) -> TensorDict:
        """∇log p_τ of states (B,) at t (B,), each edge counted once, from their x̂_T: without a call of the networks."""
        level = t // self.reference.steps_a_level
        found = {
            name: part.score_of_clean(graphs[name], clean[name], level) for name, part in self.reference.parts.items()
        }
        return continuous_state(found["x"], found["adj"], graphs["mask"])

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        return self.vectors(self.reference.initial(batch_size, condition=condition, generator=generator))

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        prediction = self.reference(self.graphs(x), t)
        law = prediction.transition
        stds = torch.stack([*law.stds, torch.zeros_like(law.stds[0])], dim=1).to(x.dtype)
        std = stds.repeat_interleave(torch.tensor(self.widths, device=x.device), dim=1)
        mean = torch.cat([law.law.mean, x[:, -self.nodes :]], dim=1)
        return Prediction(GaussianTransition(mean, std), clean=self.vectors(prediction.clean))

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self.vectors(self.reference.noise(self.graphs(x), t_from, t_to, generator=generator))

    def decode(self, x: Tensor, correct: bool = False) -> list[Chem.Mol | None]:
        return self.reference.decode(self.graphs(x), correct=correct)

    def describe(self, objects: list) -> dict[str, float]:
        return self.reference.describe(objects)

    def draw(self, objects: list, captions: list[str]) -> str:
        return self.reference.draw(objects, captions)


class OnGraphs:
    """A reward of graph states (B,) as one of their vectors (B, N F + P + N): Target(OnGraphs(QED(...)), alpha)."""

    def __init__(self, reward: Callable, nodes: int = 38, num_features: int = 9):
        self.reward, self.nodes, self.num_features = reward, nodes, num_features

    def __call__(self, x: Tensor) -> Tensor:
        return self.reward(graphs_of(x, self.nodes, self.num_features))


def graphs_of(x: Tensor, nodes: int, num_features: int) -> TensorDict:
    """The graph states of vectors (B, N F + P + N), zeros where nothing exists."""
    features, edges, flags = x.split([nodes * num_features, num_pairs(nodes), nodes], dim=1)
    mask = flags > 0.5
    own, between = free_entries(mask, num_features)
    return from_vector(torch.cat([features * own, edges * between], dim=1), mask)
