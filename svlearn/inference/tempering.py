"""Tempering: how much of the value counts at which time, so that early guesses do not decide too much."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from svlearn.arguments import integer, is_number, real
from svlearn.inference.log_weights import log_mean
from svlearn.inference.resampling import ess

BISECTIONS = 30


class Tempering(ABC):
    """λ_t in [0, 1]: at time t a particle is weighed by exp(λ_t v_t/α), and λ_T = 1.

    A schedule only moves weight between the steps: log-weights telescope, so that E[Z_hat] = Z and the target p* stay
    exact for any λ_t, one that looks at the particles included. That of DAS (arXiv 2501.05803) is `Schedule.das`.
    """

    @abstractmethod
    def __call__(self, t: int, exponents: Tensor, log_weights: Tensor, base: Tensor, twists: Tensor) -> Tensor:
        """λ_t, (B,), float64, given λ_{t-1} (B,) and groups (B, K, M) of candidates that would multiply the weight
        of their particle, log_weights (B, K), by exp(base + λ_t twists), all in nats."""

    def check(self, num_steps: int) -> None:  # noqa: B027 - most fit any process
        """Raise ValueError where it does not fit a process of T = num_steps."""


class Schedule(Tempering):
    """λ_0 ... λ_T as given, T + 1 numbers in [0, 1], the last of which is 1."""

    def __init__(self, exponents: Sequence[float]):
        if isinstance(exponents, str) or not isinstance(exponents, Iterable) or is_number(exponents):
            raise TypeError(f"tempering: expected a Tempering, or numbers, got {type(exponents).__name__}")
        self.exponents = [real(each, "tempering") for each in exponents]
        if not all(0 <= each <= 1 for each in self.exponents):
            raise ValueError(f"tempering: expected numbers in [0, 1], got {self.exponents}")
        if not self.exponents or self.exponents[-1] != 1:
            raise ValueError(f"tempering: expected a schedule that ends in 1, got {self.exponents[-1:]}")

    @classmethod
    def das(cls, num_steps: int, gamma: float = 0.008) -> "Schedule":
        """λ_t = min(1, (1 + γ)^t - 1), λ_T = 1 (DAS, arXiv 2501.05803)."""
        num_steps, gamma = integer(num_steps, "num_steps"), real(gamma, "gamma", least=0)
        return cls([*(min(1.0, (1 + gamma) ** t - 1) for t in range(num_steps)), 1.0])

    def __call__(self, t: int, exponents: Tensor, log_weights: Tensor, base: Tensor, twists: Tensor) -> Tensor:
        return torch.full_like(exponents, self.exponents[t])

    def check(self, num_steps: int) -> None:
        if len(self.exponents) != num_steps + 1:
            raise ValueError(
                f"tempering: expected {num_steps + 1} numbers, one per step 0 ... T, got {len(self.exponents)}"
            )


class Adaptive(Tempering):
    """The λ_t in [λ_{t-1}, 1] that leaves each group an ESS of `share` of its particles; groups choose for themselves.

    In a group of one particle (svdd) it is the ESS of what the particle chooses among, its M candidates, and λ_t is
    λ_{t-1} where there is one only: there is nothing to choose then.
    λ_t stays λ_{t-1} where the values tell no candidate of a group from another, as at an x_0 that is the same for all:
    else it were 1 from there on, for nothing. λ_t = 1 where the whole value leaves the ESS. Else it is found by
    bisection: either λ_t leaves the ESS, and a λ larger by 2^-30 does not, or λ_t = λ_{t-1} and no λ that was tried
    left it. Where the ESS only falls as λ rises, as from equal weights, that is the largest that leaves it; elsewhere
    the ESS may rise once more beyond it.
    """

    def __init__(self, share: float = 0.8):
        self.share = real(share, "tempering")
        if not 0 < self.share < 1:
            raise ValueError(f"tempering: expected a share of the particles in (0, 1), got {share}")

    def __call__(self, t: int, exponents: Tensor, log_weights: Tensor, base: Tensor, twists: Tensor) -> Tensor:
        _, size, copies = twists.shape
        alone = size == 1
        if alone and copies == 1:
            return exponents
        least = self.share * (copies if alone else size)

        def enough(tried: Tensor) -> Tensor:
            increments = base + tried[:, None, None] * twists
            if alone:
                return ess(increments.squeeze(1)) >= least
            return ess(log_weights + log_mean(increments)) >= least

        low, high = exponents, torch.ones_like(exponents)
        whole = enough(high)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            fits = enough(middle)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        alike = (twists == twists[:, :1, :1]).flatten(1).all(dim=1)
        return torch.where(alike, exponents, torch.where(whole, 1.0, low))
