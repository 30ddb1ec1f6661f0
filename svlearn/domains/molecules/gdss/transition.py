"""The law of one step of GDSS: Gaussian in every feature of a node and in every edge, each counted once."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.gdss.state import GraphCoordinates, free_entries, from_vector, to_vector
from svlearn.state import concatenate, take
from svlearn.transitions import GaussianTransition, Transition


class GraphGaussianTransition(Transition):
    """x ~ N(mean_x, std_x²) and adj_ij = adj_ji ~ N(mean_adj_ij, std_adj²), independent, over the nodes that exist.

    mean: a state of (B,) graphs, symmetric; std_x, std_adj (B,), >= 0. Of a node that does not exist all stays 0,
    with no density. `law` is the same over its `coordinates`, Diracs at 0 where nothing exists; `stds` are std_x and
    std_adj.
    """

    coordinates = GraphCoordinates()

    def __init__(self, mean: TensorDict, std_x: Tensor, std_adj: Tensor):
        features, edges = free_entries(mean["mask"], mean["x"].shape[2])
        std = torch.cat([std_x[:, None] * features, std_adj[:, None] * edges], dim=1)
        exists = torch.cat([features, edges], dim=1)
        centre = torch.where(exists, to_vector(mean["x"], mean["adj"]), 0.0)
        self.law = GaussianTransition(centre, std.to(centre.dtype))
        self.mask, self.stds = mean["mask"], (std_x, std_adj)

    @classmethod
    def _of(cls, law: GaussianTransition, mask: Tensor, stds: tuple[Tensor, Tensor]) -> "GraphGaussianTransition":
        step = cls.__new__(cls)
        step.law, step.mask, step.stds = law, mask, stds
        return step

    @property
    def mean(self) -> TensorDict:
        """The mean of the next state."""
        return from_vector(self.law.mean, self.mask)

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        return from_vector(self.law.sample(generator=generator), self.mask)

    def log_prob(self, x_next: TensorDict) -> Tensor:
        """Over the nodes that exist; x_next is read as symmetric, and where it has other nodes it is -inf."""
        inside = (x_next["mask"] == self.mask).all(dim=1)
        return torch.where(inside, self.law.log_prob(to_vector(x_next["x"], x_next["adj"])), -torch.inf)

    def log_ratio(self, other: Transition, x_next: TensorDict) -> Tensor:
        if not isinstance(other, GraphGaussianTransition):
            return super().log_ratio(other, x_next)
        return self.law.log_ratio(other.law, to_vector(x_next["x"], x_next["adj"]))

    def kl(self, other: Transition) -> Tensor:
        if not isinstance(other, GraphGaussianTransition):
            return super().kl(other)
        return torch.where((self.mask == other.mask).all(dim=1), self.law.kl(other.law), torch.inf)

    def tilt(self, gradient: TensorDict) -> "GraphGaussianTransition":
        """gradient: of x (B, N, F) and of all of adj (B, N, N); that of an edge is g_ij + g_ji."""
        slope = to_vector(gradient["x"], gradient["adj"] + gradient["adj"].transpose(1, 2))
        return self._of(self.law.tilt(slope), self.mask, self.stds)

    def expansion_point(self, x: TensorDict) -> TensorDict:
        """The mean."""
        return self.mean

    def __getitem__(self, index: Any) -> "GraphGaussianTransition":
        std_x, std_adj = self.stds
        return self._of(self.law[index], take(self.mask, index), (take(std_x, index), take(std_adj, index)))

    @classmethod
    def cat(cls, parts: Sequence["GraphGaussianTransition"]) -> "GraphGaussianTransition":
        std_x, std_adj = (concatenate([part.stds[k] for part in parts]) for k in (0, 1))
        law = GaussianTransition.cat([part.law for part in parts])
        return cls._of(law, concatenate([part.mask for part in parts]), (std_x, std_adj))
