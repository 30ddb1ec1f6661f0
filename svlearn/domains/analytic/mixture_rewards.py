"""Rewards under which a Gaussian mixture stays one, and the values that they have in a diffusion."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.domains.analytic.oracle import double
from svlearn.domains.analytic.quadratic import Quadratic, QuadraticReward, Tilt
from svlearn.process import Prediction
from svlearn.values.value import Value

# log p(k | x_t), (B, m), and E[x_T | x_t, k], (B, m, d), of states (B, d) at t (B,)
Posterior = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class ComponentReward(nn.Module):
    """r(x) = log Σ_k c_k p(k | x), (B,), nats, with p(k | x) the mixture's own posterior over its m components.

    levels c (m,), >= 0, not all 0. A 1 for some components and 0 for the rest makes r the log-probability of that
    class. At α = 1, p* of the mixture is the mixture with weights ∝ w_k c_k; another α has no closed form.
    """

    log_levels: Tensor

    def __init__(self, mixture: GaussianMixture, levels: Tensor):
        super().__init__()
        levels = double(levels, (len(mixture.means),), "levels")
        if not bool((levels >= 0).all() and levels.sum() > 0 and levels.isfinite().all()):
            raise ValueError(f"levels: expected finite numbers of at least 0, not all 0, got {levels.tolist()}")
        self.mixture = mixture
        self.register_buffer("log_levels", levels.log())

    def forward(self, x: Tensor) -> Tensor:
        return (self.mixture.log_responsibilities(x) + self.log_levels).logsumexp(dim=1)


def tilts(reward: QuadraticReward | ComponentReward, factors: Tensor, alpha: float, step: int | str) -> list[Tilt]:
    """N(m, L_k L_k') exp(r/α) for every component k, as functions of m; factors L (m, d, d).

    Raises ValueError where E[exp(r/α)] is infinite, and for a ComponentReward at α other than 1.
    """
    if isinstance(reward, QuadraticReward):
        quadratic = reward.quadratic.scaled(1 / alpha)
        return [quadratic.tilt(factor, step) for factor in factors]
    if alpha != 1:
        raise ValueError(f"alpha: a ComponentReward has a closed form at alpha = 1 only, got {alpha}")
    nothing, identity = torch.zeros_like(factors[0]), torch.eye(factors.shape[1]).to(factors)
    none = nothing[0], nothing[0, 0]
    return [
        Tilt(identity, none[0], factor, Quadratic(nothing, none[0], level), none[1])
        for factor, level in zip(factors, reward.log_levels, strict=True)
    ]


class MixtureValue(Value, ABC):
    """A value of a diffusion whose posterior p(x_T | x_t) is a mixture, from one quadratic per time and component.

    posterior: see `Posterior`; quadratics [t][k], t = 0 ... T, of E[x_T | x_t, k].
    """

    matrices: Tensor
    vectors: Tensor
    constants: Tensor

    def __init__(self, posterior: Posterior, quadratics: list[list[Quadratic]]):
        super().__init__()
        self.posterior = posterior
        for place, name in enumerate(("matrices", "vectors", "constants")):
            parts = [torch.stack([each[place] for each in row]) for row in quadratics]
            self.register_buffer(name, torch.stack(parts))

    def forward(
        self, x: Tensor, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        log_weights, means = self.posterior(x.to(self.vectors.dtype), t)
        linear = self.vectors[t] - 0.5 * torch.einsum("bkij,bkj->bki", self.matrices[t], means)
        return self.combine(log_weights, (linear * means).sum(dim=2) + self.constants[t])

    @abstractmethod
    def combine(self, log_weights: Tensor, terms: Tensor) -> Tensor:
        """(B,) from log p(k | x_t) and what each component says, both (B, m)."""


class SoftMixtureValue(MixtureValue):
    """v_t = α log Σ_k p(k | x_t) E[exp(r/α) | x_t, k]; the quadratics give the logarithms of the expectations."""

    def __init__(self, posterior: Posterior, quadratics: list[list[Quadratic]], alpha: float):
        super().__init__(posterior, quadratics)
        self.alpha = alpha

    def combine(self, log_weights: Tensor, terms: Tensor) -> Tensor:
        return self.alpha * (log_weights + terms).logsumexp(dim=1)


class MeanMixtureValue(MixtureValue):
    """v'_t = Σ_k p(k | x_t) E[r | x_t, k]; the quadratics give the expectations."""

    def combine(self, log_weights: Tensor, terms: Tensor) -> Tensor:
        return (log_weights.exp() * terms).sum(dim=1)
