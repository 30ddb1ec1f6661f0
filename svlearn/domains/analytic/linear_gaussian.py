"""The linear-Gaussian chain with a quadratic reward: everything is a quadratic or a Gaussian."""

import torch
from torch import Tensor

from svlearn.domains.analytic.correlated_gaussian import CorrelatedGaussian
from svlearn.domains.analytic.oracle import Oracle, double, positive, unconditional
from svlearn.domains.analytic.quadratic import Quadratic, QuadraticReward, Tilt, factor
from svlearn.process import Prediction
from svlearn.randomness import CPU, rand, randn, resolve_generator, seeded
from svlearn.transitions import GaussianTransition
from svlearn.values.value import Value


class LinearGaussianChain(Oracle):
    """x_0 ~ N(mean_0, covariance_0); x_{t+1} = A_t x_t + b_t + std_t · noise, t = 0 ... T - 1, states (B, d).

    initial_mean (d,); initial_covariance (d, d), or a number for that multiple of the identity, singular is legal;
    matrices A (T, d, d); offsets b (T, d); stds (T,) or (T, d), >= 0; reward r(x_T). All is float64.

    The soft value is a quadratic by the backward Riccati recursion: with P, q, k those of v_{t+1}/α, D = std_t² and
    G = (D^-1 + P)^-1, that of v_t/α at m = A_t x + b_t is (P - PGP, q - PGq, k - log det(I + PD)/2 + q'Gq/2). p*'s own
    transition is N(m + G(q - Pm), G). Whatever needs exp(r/α) raises ValueError where its expectation is infinite.
    """

    reward: QuadraticReward
    initial_mean: Tensor
    initial_covariance: Tensor
    initial_factor: Tensor
    matrices: Tensor
    offsets: Tensor
    stds: Tensor
    clean_matrices: Tensor
    clean_offsets: Tensor
    clean_covariances: Tensor
    clean_axes: Tensor
    clean_stds: Tensor

    def __init__(
        self,
        initial_mean: Tensor,
        initial_covariance: Tensor | float,
        matrices: Tensor,
        offsets: Tensor,
        stds: Tensor,
        reward: QuadraticReward,
    ):
        super().__init__()
        if not isinstance(reward, QuadraticReward):
            raise TypeError(f"reward: expected a QuadraticReward, got {type(reward).__name__}")
        dim = len(reward.vector)
        matrices = torch.as_tensor(matrices, dtype=torch.float64)
        stds = torch.as_tensor(stds, dtype=torch.float64)
        self.num_steps, self.dim = len(matrices), dim
        if self.num_steps < 1:
            raise ValueError("matrices: expected at least one step, got none")
        if stds.dim() == 1:
            stds = stds[:, None].expand(-1, dim)
        if not bool((stds >= 0).all()):
            raise ValueError("stds: expected numbers of at least 0, got a negative one or NaN")
        covariance = torch.as_tensor(initial_covariance, dtype=torch.float64)
        if covariance.dim() == 0:
            covariance = covariance * torch.eye(dim, dtype=torch.float64)
        self.register_buffer("initial_mean", double(initial_mean, (dim,), "initial_mean"))
        self.register_buffer("initial_covariance", double(covariance, (dim, dim), "initial_covariance"))
        self.register_buffer("initial_factor", factor(self.initial_covariance, "initial_covariance"))
        self.register_buffer("matrices", double(matrices, (self.num_steps, dim, dim), "matrices"))
        self.register_buffer("offsets", double(offsets, (self.num_steps, dim), "offsets"))
        self.register_buffer("stds", double(stds, (self.num_steps, dim), "stds"))
        self.reward = reward
        matrices, offsets, covariances = self._to_the_end()
        self.register_buffer("clean_matrices", matrices)
        self.register_buffer("clean_offsets", offsets)
        self.register_buffer("clean_covariances", covariances)
        variances, axes = torch.linalg.eigh(covariances)
        self.register_buffer("clean_axes", axes, persistent=False)
        self.register_buffer("clean_stds", variances.clamp(min=0).sqrt(), persistent=False)

    @classmethod
    def random(cls, dim: int, num_steps: int, seed: int) -> "LinearGaussianChain":
        """A well-conditioned one: singular values of A in [0.7, 1], stds in [0.3, 0.7], a concave reward."""
        generator = seeded("cpu", seed)

        def normal(*shape: int) -> Tensor:
            return randn(shape, generator, CPU, torch.float64)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * rand(shape, generator, CPU, torch.float64)

        left, right = torch.linalg.qr(normal(num_steps, dim, dim))[0], torch.linalg.qr(normal(num_steps, dim, dim))[0]
        axes = torch.linalg.qr(normal(2, dim, dim))[0]
        covariance = (axes[0] * uniform(0.3, 1.0, dim)) @ axes[0].T
        bend = (axes[1] * uniform(0.1, 0.5, dim)) @ axes[1].T
        return cls(
            0.5 * normal(dim),
            covariance,
            (left * uniform(0.7, 1.0, num_steps, 1, dim)) @ right,
            0.2 * normal(num_steps, dim),
            uniform(0.3, 0.7, num_steps, dim),
            QuadraticReward(bend, normal(dim) / dim**0.5),
        )

    def with_reward(self, reward: QuadraticReward) -> "LinearGaussianChain":
        """The same process towards another reward."""
        return self._with(self.matrices, self.offsets, reward)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        return self.initial_mean + _normal(self.initial_mean, batch_size, generator) @ self.initial_factor.T

    def initial_law(self, x: Tensor) -> GaussianTransition:
        """Raises ValueError where the elements of x_0 are correlated, and is then said not to be defined."""
        variances = self.initial_covariance.diagonal()
        if not self.defines("initial_law"):
            raise ValueError("initial_covariance: expected a diagonal one to say p_0 by its elements, got another")
        return GaussianTransition(self.initial_mean.expand_as(x), variances.sqrt()[None])

    def defines(self, method: str) -> bool:
        if method != "initial_law":
            return super().defines(method)
        return torch.equal(torch.diag(self.initial_covariance.diagonal()), self.initial_covariance)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The transition, clean = E[x_T | x_t] and clean_law = p_ref(x_T | x_t), exactly."""
        law = GaussianTransition(_affine(self.matrices[t], self.offsets[t], x), self.stds[t])
        clean = _affine(self.clean_matrices[t], self.clean_offsets[t], x)
        return Prediction(law, clean=clean, clean_law=CorrelatedGaussian(clean, self.clean_axes[t], self.clean_stds[t]))

    def marginals(self) -> tuple[Tensor, Tensor]:
        """Means (T + 1, d) and covariances (T + 1, d, d) of x_0 ... x_T under p_ref."""
        means, covariances = [self.initial_mean], [self.initial_covariance]
        for matrix, offset, std in zip(self.matrices, self.offsets, self.stds, strict=True):
            means.append(matrix @ means[-1] + offset)
            covariances.append(matrix @ covariances[-1] @ matrix.T + torch.diag(std**2))
        return torch.stack(means), torch.stack(covariances)

    def optimal_marginals(self, alpha: float) -> tuple[Tensor, Tensor]:
        """Means (T + 1, d) and covariances (T + 1, d, d) of x_0 ... x_T under p*; the last are p*(x_T) itself."""
        values, _ = self._riccati(alpha)
        laws = []
        for t, (value, mean, covariance) in enumerate(zip(values, *self.marginals(), strict=True)):
            tilt = value.tilt(factor(covariance, "covariance"), t)
            laws.append((tilt.shrink @ mean + tilt.shift, tilt.factor @ tilt.factor.T))
        means, covariances = zip(*laws, strict=True)
        return torch.stack(means), torch.stack(covariances)

    def optimal_trajectories(
        self, batch_size: int, alpha: float, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Exact draws of p*(x_0, ..., x_T), (B, T + 1, d)."""
        values, tilts = self._riccati(alpha)
        generator = resolve_generator(generator, self.initial_mean.device)
        mean, path = self.initial_mean.expand(batch_size, -1), []
        for tilt in (values[0].tilt(self.initial_factor, "x_0"), *tilts):
            noise = _normal(self.initial_mean, batch_size, generator)
            path.append(mean @ tilt.shrink.T + tilt.shift + noise @ tilt.factor.T)
            if len(path) <= self.num_steps:
                mean = path[-1] @ self.matrices[len(path) - 1].T + self.offsets[len(path) - 1]
        return torch.stack(path, dim=1)

    def soft_value(self, alpha: float) -> "QuadraticValue":
        return QuadraticValue([value.scaled(alpha) for value in self._riccati(alpha)[0]])

    def mean_value(self) -> "QuadraticValue":
        values = [self.reward.quadratic]
        for t in reversed(range(self.num_steps)):
            values.append(values[-1].mean(torch.diag(self.stds[t] ** 2)).of_affine(self.matrices[t], self.offsets[t]))
        return QuadraticValue(values[::-1])

    def log_normalizer(self, alpha: float) -> Tensor:
        start = self._riccati(alpha)[0][0].tilt(self.initial_factor, "x_0")
        return start.log_mean_exp(self.initial_mean[None])[0]

    def optimal_kl(self, alpha: float) -> Tensor:
        means, covariances = self.optimal_marginals(alpha)
        rewards = self.reward.quadratic.mean(covariances[-1])(means[-1:])[0]
        return rewards / alpha - self.log_normalizer(alpha)

    def best_policy(self, alpha: float) -> "LinearGaussianChain":
        """The policy of `best_elbo`: p_0, std_t and the mean of p*'s transition, (I - GP)(A_t x + b_t) + Gq.

        Its linear feedback is in `matrices` (T, d, d) and `offsets` (T, d).
        """
        _, tilts = self._riccati(alpha)
        matrices = torch.stack([tilt.shrink @ matrix for tilt, matrix in zip(tilts, self.matrices, strict=True)])
        offsets = [tilt.shrink @ offset + tilt.shift for tilt, offset in zip(tilts, self.offsets, strict=True)]
        return self._with(matrices, torch.stack(offsets), self.reward)

    def best_elbo(self, alpha: float) -> Tensor:
        """max E_q[r(x_T)/α] - KL(q || p_ref) over q(x_{t+1} | x_t) = N(any mean(x_t, t), std_t²) with q(x_0) = p_0.

        A linear-quadratic control problem: its P and q are those of the soft value, only k differs by the constant
        KL(N(·, D) || N(·, G)) that the fixed std costs at each step: E_p0[v_0(x_0)/α] less their sum, (), nats.
        """
        values, tilts = self._riccati(alpha)
        start = values[0].mean(self.initial_covariance)(self.initial_mean[None])[0]
        return start - sum(tilt.mismatch for tilt in tilts)

    def mutual_information(self) -> Tensor:
        whole, given = self.marginals()[1][-1], self.clean_covariances[0]
        return 0.5 * (torch.linalg.slogdet(whole)[1] - torch.linalg.slogdet(given)[1])

    def _riccati(self, alpha: float) -> tuple[list[Quadratic], list[Tilt]]:
        """v_t/α for t = 0 ... T, and the tilt of each step's noise by v_{t+1}/α for t = 0 ... T - 1."""
        values, tilts = [self.reward.quadratic.scaled(1 / positive(alpha))], []
        for t in reversed(range(self.num_steps)):
            tilts.append(values[-1].tilt(torch.diag(self.stds[t]), t))
            values.append(tilts[-1].log_mean_exp.of_affine(self.matrices[t], self.offsets[t]))
        return values[::-1], tilts[::-1]

    def _to_the_end(self) -> tuple[Tensor, Tensor, Tensor]:
        """F_t, g_t, S_t of x_T | x_t ~ N(F_t x_t + g_t, S_t), t = 0 ... T."""
        nothing = torch.zeros_like(self.matrices[0])
        laws = [(torch.eye(self.dim).to(nothing), torch.zeros_like(self.offsets[0]), nothing)]
        for t in reversed(range(self.num_steps)):
            matrix, offset, covariance = laws[-1]
            noisy = covariance + (matrix * self.stds[t] ** 2) @ matrix.T
            laws.append((matrix @ self.matrices[t], matrix @ self.offsets[t] + offset, noisy))
        matrices, offsets, covariances = zip(*laws[::-1], strict=True)
        return torch.stack(matrices), torch.stack(offsets), torch.stack(covariances)

    def _with(self, matrices: Tensor, offsets: Tensor, reward: QuadraticReward) -> "LinearGaussianChain":
        start = (self.initial_mean, self.initial_covariance)
        return LinearGaussianChain(*start, matrices, offsets, self.stds, reward)


class QuadraticValue(Value):
    """v_t(x) = -x'P_t x/2 + q_t'x + k_t, (B,), reward units, t = 0 ... T, from one quadratic per time."""

    matrices: Tensor
    vectors: Tensor
    constants: Tensor

    def __init__(self, quadratics: list[Quadratic]):
        super().__init__()
        matrices, vectors, constants = zip(*quadratics, strict=True)
        self.register_buffer("matrices", torch.stack(matrices))
        self.register_buffer("vectors", torch.stack(vectors))
        self.register_buffer("constants", torch.stack(constants))

    def forward(
        self, x: Tensor, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        x = x.to(self.vectors.dtype)
        linear = self.vectors[t] - 0.5 * torch.einsum("bij,bj->bi", self.matrices[t], x)
        return (linear * x).sum(dim=1) + self.constants[t]


def _affine(matrices: Tensor, offsets: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("bij,bj->bi", matrices, x.to(matrices.dtype)) + offsets


def _normal(like: Tensor, batch_size: int, generator: torch.Generator | None) -> Tensor:
    return randn((batch_size, *like.shape), generator, like.device, like.dtype)
