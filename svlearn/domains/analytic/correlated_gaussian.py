"""The Gaussian law of a vector whose elements are correlated."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.state import concatenate
from svlearn.transitions import GaussianTransition, Transition


class CorrelatedGaussian(Transition):
    """N(mean, axes diag(stds²) axes'), for a batch of B states (B, d).

    mean (B, d); axes (B, d, d), orthonormal columns; stds (B, d), >= 0. Along an axis of std 0 it is a Dirac: there
    `log_prob` is 0 at the mean and -inf elsewhere, however near.
    """

    def __init__(self, mean: Tensor, axes: Tensor, stds: Tensor):
        if not mean.shape == stds.shape == axes.shape[:2] or axes.shape[1:] != 2 * mean.shape[1:]:
            shapes = ", ".join(str(tuple(part.shape)) for part in (mean, axes, stds))
            raise ValueError(f"mean: expected (B, d), with axes (B, d, d) and stds (B, d), got {shapes}")
        self.mean, self.axes, self.stds = mean, axes, stds

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        noise = GaussianTransition(torch.zeros_like(self.mean), self.stds).sample(generator=generator)
        return self.mean + torch.einsum("bij,bj->bi", self.axes, noise)

    def log_prob(self, x_next: Tensor) -> Tensor:
        along = torch.einsum("bij,bi->bj", self.axes, x_next - self.mean)
        return GaussianTransition(torch.zeros_like(self.mean), self.stds).log_prob(along)

    def __getitem__(self, index: Any) -> "CorrelatedGaussian":
        return CorrelatedGaussian(self.mean[index], self.axes[index], self.stds[index])

    @classmethod
    def cat(cls, parts: Sequence["CorrelatedGaussian"]) -> "CorrelatedGaussian":
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("mean", "axes", "stds")))
