"""The diffusion of a Gaussian mixture, reversed exactly: every law is a mixture in closed form."""

import math
from typing import cast

import torch
from torch import Tensor

from svlearn.domains.analytic.mixture import GaussianMixture, GaussianMixtureTransition
from svlearn.domains.analytic.mixture_rewards import (
    ComponentReward,
    MeanMixtureValue,
    SoftMixtureValue,
    tilts,
)
from svlearn.domains.analytic.oracle import Oracle, positive, unconditional
from svlearn.domains.analytic.quadratic import Quadratic, QuadraticReward
from svlearn.process import Prediction
from svlearn.randomness import randn, resolve_generator
from svlearn.schedules import NoiseLevels, cosine_schedule
from svlearn.transitions import GaussianTransition

# the modes that the posterior of the toy keeps, and their weights out of 61
WANTED_MODES = {
    (-10, -5): 4, (-5, -10): 10, (-5, 0): 4, (10, -5): 5, (0, 0): 10, (0, 5): 5, (5, -5): 4, (5, 0): 15, (5, 10): 4
}  # fmt: skip


class GaussianMixtureDiffusion(Oracle):
    """x_T ~ the mixture; x_t = √(ā_t/ā_{t+1}) x_{t+1} + √(1 - ā_t/ā_{t+1}) · noise; run from x_0 to x_T. States (B, d).

    mixture: of diagonal covariances; alpha_bars (T + 1,): ā_t, rising, ā_T = 1; reward: a `QuadraticReward` (linear
    ones are those of matrix 0) or a `ComponentReward` of this mixture, which is for alpha = 1. All is float64.

    The process is the exact reversal of that noising, so x_T has the mixture's law whatever T is: p_0 and
    p_ref(x_{t+1} | x_t) are mixtures (a `GaussianMixtureTransition`). Given component k, of variance σ² and mean μ,
    with V_t = ā_t σ² + 1 - ā_t and b = ā_t/ā_{t+1}:

        p(k | x_t) ∝ w_k N(x_t; √ā_t μ, V_t)
        x_{t+1} | x_t, k ~ N(√ā_{t+1} μ + √b (V_{t+1}/V_t)(x_t - √ā_t μ), V_{t+1} (1 - b)/V_t)
        x_T | x_t, k ~ N(μ + √ā_t (σ²/V_t)(x_t - √ā_t μ), σ² (1 - ā_t)/V_t)

    `mixture_ddpm.GaussianMixtureDDPM` has Gaussian steps in the place of the exact ones. Raises ValueError for a
    schedule that does not rise to 1, covariances off the diagonal, and where exp(r/α) has no expectation.
    """

    reward: QuadraticReward | ComponentReward
    alpha_bars: Tensor

    def __init__(self, mixture: GaussianMixture, alpha_bars: Tensor, reward: QuadraticReward | ComponentReward):
        super().__init__()
        if not isinstance(reward, QuadraticReward | ComponentReward):
            raise TypeError(f"reward: expected a QuadraticReward or a ComponentReward, got {type(reward).__name__}")
        alpha_bars = torch.as_tensor(alpha_bars, dtype=torch.float64).clone()
        if alpha_bars.dim() != 1 or len(alpha_bars) < 2:
            raise ValueError(f"alpha_bars: expected shape (T + 1,), T >= 1, got {tuple(alpha_bars.shape)}")
        if not bool((alpha_bars.diff() > 0).all() and alpha_bars[0] >= 0 and alpha_bars[-1] == 1):
            raise ValueError(f"alpha_bars: expected numbers that rise to 1 from at least 0, got {alpha_bars.tolist()}")
        variances = mixture.covariances.diagonal(dim1=1, dim2=2)
        if not torch.equal(torch.diag_embed(variances), mixture.covariances):
            raise ValueError("mixture: expected diagonal covariances, got others")
        if isinstance(reward, ComponentReward) and not _same(reward.mixture, mixture):
            raise ValueError("reward: expected a ComponentReward of the same mixture, got one of another")
        if isinstance(reward, QuadraticReward) and len(reward.vector) != mixture.dim:
            raise ValueError(f"reward: expected one of {mixture.dim} dimensions, got {len(reward.vector)}")
        self.mixture, self.reward = mixture, reward
        self.num_steps, self.dim = len(alpha_bars) - 1, mixture.dim
        self.register_buffer("alpha_bars", alpha_bars)

    @classmethod
    def rtb_toy(cls, num_steps: int = 100) -> "GaussianMixtureDiffusion":
        """25 modes on the grid {-10, -5, 0, 5, 10}², variance 0.3, of which 9 are wanted, with unequal weights.

        alpha = 1; exp(r) = posterior/prior, so log Z = 0 and p* is the mixture of the 9. The schedule is memoryless.
        Figure 1 of arXiv 2405.20971, with the weights of its implementation in torchgfn.
        """
        axis = torch.linspace(-10, 10, 5, dtype=torch.float64)
        means = torch.cartesian_prod(axis, axis)
        mixture = GaussianMixture(torch.ones(25), means, 0.3)
        levels = [25 / 61 * WANTED_MODES.get((int(a), int(b)), 0) for a, b in means.tolist()]
        return cls(
            mixture, cosine_schedule(num_steps), ComponentReward(mixture, torch.tensor(levels, dtype=torch.float64))
        )

    def with_reward(self, reward: QuadraticReward | ComponentReward) -> "GaussianMixtureDiffusion":
        """The same process towards another reward."""
        return GaussianMixtureDiffusion(self.mixture, self.alpha_bars, reward)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        return self.marginal(0).sample(batch_size, generator=generator)

    def initial_law(self, x: Tensor) -> GaussianTransition:
        """N(0, 1) of a memoryless schedule, that of a single component. Raises ValueError of any other mixture, and is
        then said not to be defined."""
        start = self.marginal(0)
        if not self.defines("initial_law"):
            raise ValueError(
                f"alpha_bars: expected ā_0 = 0 for a Gaussian p_0, got {float(self.alpha_bars[0])} of a mixture"
            )
        return GaussianTransition(start.means[:1].expand_as(x), start.covariances[:1].diagonal(dim1=1, dim2=2).sqrt())

    def defines(self, method: str) -> bool:
        if method != "initial_law":
            return super().defines(method)
        return bool(self.alpha_bars[0] == 0) or len(self.mixture.means) == 1

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The exact transition, clean = E[x_T | x_t] and clean_law = p(x_T | x_t), a mixture."""
        x = x.to(self.alpha_bars.dtype)
        log_weights, _ = self.posterior(x, t)
        step = GaussianMixtureTransition(log_weights, *self._given_component(x, t, t + 1))
        clean_law = GaussianMixtureTransition(
            log_weights, *self._given_component(x, t, torch.full_like(t, self.num_steps))
        )
        return Prediction(step, clean=clean_law.mean, clean_law=clean_law)

    def posterior(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log p(k | x_t), (B, m), and E[x_T | x_t, k], (B, m, d)."""
        centres, variances = self._components(t)
        log_normal = -0.5 * ((x[:, None] - centres) ** 2 / variances + variances.log()).sum(dim=2)
        log_weights = (self.mixture.log_weights + log_normal).log_softmax(dim=1)
        return log_weights, self._given_component(x, t, torch.full_like(t, self.num_steps))[0]

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if bool((t_to > t_from).any()):
            raise ValueError(f"t_to: expected times at or before t_from, got {t_to.tolist()} and {t_from.tolist()}")
        later, earlier = self.alpha_bars[t_from], self.alpha_bars[t_to]
        kept = torch.where(t_to == t_from, 1.0, earlier / later)[:, None]  # 0/0 at t = 0 of a memoryless schedule
        x = x.to(kept.dtype)
        noise = randn(x.shape, generator, x.device, x.dtype)
        return kept.sqrt() * x + (1 - kept).sqrt() * noise

    def noise_levels(self) -> NoiseLevels:
        """√ā_t and √(1 - ā_t) of x_t given x_T."""
        return NoiseLevels.from_alpha_bars(self.alpha_bars)

    def marginal(self, t: int) -> GaussianMixture:
        """The law of x_t under p_ref."""
        return self.mixture.noised(self.alpha_bars[t])

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """∇ log p_t(x), (B, d), of the law of x_t."""
        centres, variances = self._components(t)
        log_weights, _ = self.posterior(x, t)
        return torch.einsum("bm,bmd->bd", log_weights.exp(), (centres - x[:, None]) / variances)

    def soft_value(self, alpha: float) -> SoftMixtureValue:
        alpha = positive(alpha)
        steps = range(self.num_steps + 1)
        quadratics = [[tilt.log_mean_exp for tilt in tilts(self.reward, self._factors(t), alpha, t)] for t in steps]
        return SoftMixtureValue(self.posterior, quadratics, alpha)

    def mean_value(self) -> MeanMixtureValue:
        """Raises ValueError for a ComponentReward: its mean has no closed form."""
        if not isinstance(self.reward, QuadraticReward):
            raise ValueError("reward: the mean of a ComponentReward has no closed form; use soft_value(1.0)")
        factors = [self._factors(t) for t in range(self.num_steps + 1)]
        return MeanMixtureValue(self.posterior, [_means(self.reward.quadratic, row @ row.mT) for row in factors])

    def log_normalizer(self, alpha: float) -> Tensor:
        return self._optimal_log_weights(positive(alpha)).logsumexp(dim=0)

    def optimal_law(self, alpha: float) -> GaussianMixture:
        """p*(x_T), a mixture of m components; `.noised(alpha_bars[t])` is p*(x_t)."""
        parts = tilts(self.reward, self.mixture.factors, positive(alpha), "x_T")
        means = [part.shrink @ mean + part.shift for part, mean in zip(parts, self.mixture.means, strict=True)]
        covariances = [part.factor @ part.factor.T for part in parts]
        weights = self._optimal_log_weights(alpha).softmax(dim=0)
        return GaussianMixture(weights, torch.stack(means), torch.stack(covariances))

    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, d): x_T from its law, then noised step by step."""
        generator = resolve_generator(generator, self.alpha_bars.device)
        path = [self.optimal_law(alpha).sample(batch_size, generator=generator)]
        for t in reversed(range(self.num_steps)):
            now = torch.full((batch_size,), t + 1, device=self.alpha_bars.device)
            path.append(self.noise(path[-1], now, now - 1, generator=generator))
        return torch.stack(path[::-1], dim=1)

    def optimal_kl(self, alpha: float) -> Tensor:
        """For a ComponentReward, by `GaussianMixture.expectation`."""
        law = self.optimal_law(alpha)
        if isinstance(self.reward, QuadraticReward):
            parts = _means(self.reward.quadratic, law.covariances)
            rewards = torch.stack([part(mean[None])[0] for part, mean in zip(parts, law.means, strict=True)])
            return law.log_weights.exp() @ rewards / alpha - self.log_normalizer(alpha)
        return law.expectation(self.reward) / alpha - self.log_normalizer(alpha)

    def best_elbo(self, alpha: float) -> Tensor:
        """E_p0[v_0(x_0)/α], (), nats, by `GaussianMixture.expectation`: p*'s own transitions are allowed."""
        value = self.soft_value(alpha)
        start = self.marginal(0)
        return start.expectation(lambda x: value(x, torch.zeros(len(x), dtype=torch.long, device=x.device))) / alpha

    def mutual_information(self) -> Tensor:
        """h(x_0) - h(x_0 | x_T), the first by `GaussianMixture.expectation`; 0 where ā_0 = 0."""
        start = self.marginal(0)
        given = 0.5 * self.dim * (math.log(2 * math.pi * math.e) + (1 - self.alpha_bars[0]).log())
        return -start.expectation(start.log_prob) - given

    def _components(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Of x_t given each component, the mean √ā_t μ and the variance V_t, (B, m, d)."""
        alpha_bars = self.alpha_bars[t][:, None, None]
        variances = self.mixture.covariances.diagonal(dim1=1, dim2=2)
        return alpha_bars.sqrt() * self.mixture.means, alpha_bars * variances + 1 - alpha_bars

    def _given_component(self, x: Tensor, t: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the std (B, m, d) of x at the later time given x_t and each component."""
        centres, variances = self._components(t)
        later_centres, later_variances = self._components(later)
        kept = (self.alpha_bars[t] / self.alpha_bars[later])[:, None, None]
        means = later_centres + kept.sqrt() * later_variances / variances * (x[:, None] - centres)
        return means, (later_variances * (1 - kept) / variances).sqrt()

    def _factors(self, t: int) -> Tensor:
        """L (m, d, d), L L' the covariance of x_T given x_t and each component."""
        variances = self.mixture.covariances.diagonal(dim1=1, dim2=2)
        alpha_bar = self.alpha_bars[t]
        return torch.diag_embed((variances * (1 - alpha_bar) / (alpha_bar * variances + 1 - alpha_bar)).sqrt())

    def _optimal_log_weights(self, alpha: float) -> Tensor:
        """log w_k E_k[exp(r/α)], (m,)."""
        parts = tilts(self.reward, self.mixture.factors, alpha, "x_T")
        gains = [part.log_mean_exp(mean[None])[0] for part, mean in zip(parts, self.mixture.means, strict=True)]
        return self.mixture.log_weights + torch.stack(gains)


def _means(quadratic: Quadratic, covariances: Tensor) -> list[Quadratic]:
    return [quadratic.mean(covariance) for covariance in covariances]


def _same(one: GaussianMixture, other: GaussianMixture) -> bool:
    states = cast(dict[str, Tensor], one.state_dict()), cast(dict[str, Tensor], other.state_dict())
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])
