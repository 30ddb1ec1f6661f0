"""The two forward SDEs of GDSS, and one step of their reversal as numbers: what is kept, the score's share, the std.

Diffusion time τ runs from 1 (noise) to 0 (data). The step t = 0 ... N - 1 of N is at τ_t = 1 - t (1 - ε)/(N - 1), and
ε = 1e-4, as the authors sample. Everything here is in float64.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from svlearn.arguments import integer

LAST_TIME = 1e-4


class ReverseSteps(NamedTuple):
    """x_{t+1} ~ N(kept_t x_t + added_t ∇log p_τ(x_t), stds_t²), t = 0 ... N - 1; each (N,), float64."""

    kept: Tensor
    added: Tensor
    stds: Tensor


@dataclass(frozen=True)
class SDE(ABC):
    """x_τ | x ~ N(a(τ) x, σ(τ)²), a linear forward SDE; low and high are β, or σ, at τ = 0 and at τ = 1."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ValueError(f"low, high: expected 0 < low <= high, both finite, got {self.low} and {self.high}")

    @abstractmethod
    def scale(self, time: Tensor) -> Tensor:
        """a(τ): E[x_τ | x] = a(τ) x."""

    @abstractmethod
    def std(self, time: Tensor) -> Tensor:
        """σ(τ): the std of x_τ given x."""

    @abstractmethod
    def score_factor(self, time: Tensor) -> Tensor:
        """What the authors' network is multiplied by to give the score ∇log p_τ."""

    @abstractmethod
    def reverse_diffusion(self, num_steps: int) -> ReverseSteps:
        """The steps that undo those of the forward chain of N steps (arXiv 2011.13456, appendix E)."""

    @abstractmethod
    def euler_maruyama(self, num_steps: int) -> ReverseSteps:
        """Euler's steps of length 1/N of the reverse SDE dx = (f - g² ∇log p) dτ + g dw."""

    @abstractmethod
    def corrector_scales(self, num_steps: int) -> Tensor:
        """α_t (N,), by which the authors scale the step of the Langevin corrector."""


class VP(SDE):
    """dx = -β(τ)/2 x dτ + √β(τ) dw, β linear from `low` to `high` (arXiv 2011.13456, section 3.4).

    a(τ) = exp(-∫β/2), σ² = 1 - a²; the score is -network/σ(τ).
    """

    def scale(self, time: Tensor) -> Tensor:
        return (-0.5 * self._integral(time)).exp()

    def std(self, time: Tensor) -> Tensor:
        return (-torch.expm1(-self._integral(time))).sqrt()

    def score_factor(self, time: Tensor) -> Tensor:
        return -1.0 / self.std(time)

    def reverse_diffusion(self, num_steps: int) -> ReverseSteps:
        """kept 2 - √(1 - β_k), added β_k, std √β_k, with β_k the k-th of N numbers from low/N to high/N, k down."""
        betas = self._discrete(num_steps)
        return ReverseSteps(2.0 - (1.0 - betas).sqrt(), betas, betas.sqrt())

    def euler_maruyama(self, num_steps: int) -> ReverseSteps:
        betas = (self.low + step_times(num_steps) * (self.high - self.low)) / num_steps
        return ReverseSteps(1.0 + 0.5 * betas, betas, betas.sqrt())

    def corrector_scales(self, num_steps: int) -> Tensor:
        return 1.0 - self._discrete(num_steps)

    def _integral(self, time: Tensor) -> Tensor:
        return self.low * time + 0.5 * (self.high - self.low) * time**2

    def _discrete(self, num_steps: int) -> Tensor:
        betas = torch.linspace(self.low, self.high, num_steps, dtype=torch.float64).flip(0) / num_steps
        if bool((betas >= 1).any()):
            raise ValueError(f"num_steps: expected more than beta = {self.high}, got {num_steps}")
        return betas


class VE(SDE):
    """dx = √(dσ²/dτ) dw, σ(τ) geometric from `low` to `high` (arXiv 2011.13456, section 3.4).

    a = 1; the network is the score itself. σ(0) is `low`, not 0: data comes a little blurred.
    """

    def scale(self, time: Tensor) -> Tensor:
        return torch.ones_like(time)

    def std(self, time: Tensor) -> Tensor:
        return self.low * (self.high / self.low) ** time

    def score_factor(self, time: Tensor) -> Tensor:
        return torch.ones_like(time)

    def reverse_diffusion(self, num_steps: int) -> ReverseSteps:
        """added σ_k² - σ_{k-1}², std its root, with σ_k the k-th of N from low to high, k down, and σ_{-1} = 0.

        The last mean is therefore Tweedie's x + σ_0² ∇log p.
        """
        logs = torch.linspace(math.log(self.low), math.log(self.high), num_steps, dtype=torch.float64)
        variances = (2.0 * logs).exp()
        drops = torch.diff(variances, prepend=torch.zeros(1, dtype=torch.float64)).flip(0)
        return ReverseSteps(torch.ones_like(drops), drops, drops.sqrt())

    def euler_maruyama(self, num_steps: int) -> ReverseSteps:
        rate = 2.0 * math.log(self.high / self.low) / num_steps
        drops = rate * self.std(step_times(num_steps)) ** 2
        return ReverseSteps(torch.ones_like(drops), drops, drops.sqrt())

    def corrector_scales(self, num_steps: int) -> Tensor:
        return torch.ones(num_steps, dtype=torch.float64)


SDES: dict[str, type[SDE]] = {"VP": VP, "VE": VE}
PREDICTORS = ("reverse_diffusion", "euler_maruyama")


def step_times(num_steps: int) -> Tensor:
    """τ_0 ... τ_{N-1}, (N,), at which the network is asked."""
    return torch.linspace(1.0, LAST_TIME, integer(num_steps, "num_steps", 2), dtype=torch.float64)


def reverse_steps(sde: SDE, predictor: str, num_steps: int) -> ReverseSteps:
    """The predictor's steps; the last adds no noise, as the authors return the mean of it (`noise_removal`)."""
    if predictor not in PREDICTORS:
        raise ValueError(f"predictor: expected one of {', '.join(PREDICTORS)}, got {predictor!r}")
    step_times(num_steps)
    kept, added, stds = getattr(sde, predictor)(num_steps)
    return ReverseSteps(kept, added, torch.cat([stds[:-1], torch.zeros(1, dtype=torch.float64)]))
