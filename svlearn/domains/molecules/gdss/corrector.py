"""The Langevin corrector as one Gaussian step of each molecule."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Langevin:
    """x' ~ N(x + h ∇log p_τ(x), 2 h scale²), h = 2 α (snr · E|z| / |∇log p_τ(x)|)² (arXiv 2011.13456, algorithm 4).

    E|z|: of standard normal noise in what is free of the molecule, √2 Γ((d + 1)/2) / Γ(d/2) in d dimensions. The
    authors divide the batch's mean norm of drawn noise by its mean norm of scores, so that one molecule's step depends
    on its neighbours; here each has its own, and the step has a density.

    snr and scale: 0.2 and 0.9 for ZINC-250k, as the authors sample. The law stays near p_τ for scale = 1 and a small
    snr only; a smaller scale cools it. longest: no h is above it, for the score of a graph of one or two edges may be
    near 0, where h has no finite mean; a ZINC molecule's is about 0.1.
    """

    snr: float = 0.2
    scale: float = 0.9
    longest: float = 0.5

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if not number > 0:
                raise ValueError(f"{name}: expected a number above 0, got {number}")

    def step_sizes(self, score_norms: Tensor, dimensions: Tensor, alphas: Tensor) -> Tensor:
        """h (B,), of the norms of scores (B,), the numbers of free dimensions (B,), and α (B,); 0 for a norm of 0."""
        moving = score_norms > 0
        ratios = expected_norms(dimensions).to(score_norms.dtype) / torch.where(moving, score_norms, 1.0)
        return torch.where(moving, 2.0 * alphas * (self.snr * ratios) ** 2, 0.0).clamp(max=self.longest)

    def stds(self, step_sizes: Tensor) -> Tensor:
        """scale √(2 h), (B,)."""
        return self.scale * (2.0 * step_sizes).sqrt()


def expected_norms(dimensions: Tensor) -> Tensor:
    """E|z|, z ~ N(0, I_d), of each d (B,) >= 0, float64."""
    d = dimensions.double()
    return 2.0**0.5 * (torch.lgamma(0.5 * (d + 1)) - torch.lgamma(0.5 * d)).exp()
