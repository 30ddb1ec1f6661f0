"""Gaussian mixtures: one fixed law, and a batch of diagonal ones as the law of a next state."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from svlearn.domains.analytic.oracle import double
from svlearn.randomness import multinomial, randn
from svlearn.state import concatenate
from svlearn.transitions import Transition, widened

MAX_NODES = 200_000


class GaussianMixture(nn.Module):
    """Σ_k w_k N(m_k, C_k), k = 1 ... m, of points (B, d), float64.

    weights (m,), >= 0, normalised here; means (m, d); covariances: a number or (m,) for multiples of the identity,
    (m, d) for variances, or (m, d, d). Raises ValueError for wrong shapes, weights below 0 or all 0, and covariances
    that are not positive definite.
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    factors: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor | float):
        super().__init__()
        means = torch.as_tensor(means, dtype=torch.float64)
        if means.dim() != 2 or 0 in means.shape:
            raise ValueError(f"means: expected shape (m, d), got {tuple(means.shape)}")
        number, self.dim = means.shape
        weights = double(weights, (number,), "weights")
        if not bool((weights >= 0).all() and weights.sum() > 0 and weights.isfinite().all()):
            raise ValueError(f"weights: expected numbers of at least 0, not all 0, got {weights.tolist()}")
        covariances = torch.as_tensor(covariances, dtype=torch.float64)
        if covariances.dim() < 2:
            covariances = covariances.reshape(-1, 1).expand(-1, self.dim)
        if covariances.dim() == 2:
            covariances = torch.diag_embed(covariances)
        if len(covariances) == 1:
            covariances = covariances.expand(number, -1, -1)
        covariances = double(covariances, (number, self.dim, self.dim), "covariances")
        factors, failed = torch.linalg.cholesky_ex(covariances)
        if bool(failed.any()) or not torch.allclose(covariances, covariances.mT):
            raise ValueError("covariances: expected symmetric positive definite ones, got one that is not")
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("means", means.clone())
        self.register_buffer("covariances", covariances)
        self.register_buffer("factors", factors)

    def log_components(self, x: Tensor) -> Tensor:
        """log w_k + log N(x; m_k, C_k), (B, m), of points (B, d)."""
        offsets = x.to(self.means.dtype)[:, None] - self.means
        whitened = torch.linalg.solve_triangular(self.factors, offsets.permute(1, 2, 0), upper=False)
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        squares = whitened.square().sum(dim=1).T
        return self.log_weights - log_det - 0.5 * self.dim * math.log(2 * math.pi) - 0.5 * squares

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), (B,), nats."""
        return self.log_components(x).logsumexp(dim=1)

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log p(k | x), (B, m), nats."""
        return self.log_components(x).log_softmax(dim=1)

    def sample(self, number: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Exact draws (number, d)."""
        chosen = multinomial(self.log_weights.exp(), number, generator)
        noise = randn((number, self.dim, 1), generator, self.means.device, self.means.dtype)
        return self.means[chosen] + (self.factors[chosen] @ noise).squeeze(2)

    def moments(self) -> tuple[Tensor, Tensor]:
        """The mean (d,) and the covariance (d, d) of the whole."""
        weights = self.log_weights.exp()
        mean = weights @ self.means
        offsets = self.means - mean
        spread = (weights[:, None] * offsets).T @ offsets
        return mean, spread + torch.einsum("k,kij->ij", weights, self.covariances)

    def noised(self, alpha_bar: Tensor | float) -> "GaussianMixture":
        """The law of √ā x + √(1 - ā) · noise, x of this law and ā = alpha_bar in [0, 1]."""
        alpha_bar = torch.as_tensor(alpha_bar, dtype=self.means.dtype, device=self.means.device)
        identity = torch.eye(self.dim, dtype=self.means.dtype, device=self.means.device)
        covariances = alpha_bar * self.covariances + (1 - alpha_bar) * identity
        return GaussianMixture(self.log_weights.exp(), alpha_bar.sqrt() * self.means, covariances)

    def expectation(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """E[function(x)], (), by Gauss-Hermite quadrature of each component, 60 nodes an axis (200 for d = 1).

        function: points (N, d) to (N,). Good to about 1e-8 where the function is smooth at the scale of a component.
        Raises ValueError for d > 3 or more than 200 000 nodes in all.
        """
        per_axis = {1: 200, 2: 60, 3: 30}.get(self.dim, 0)
        alive = self.log_weights > -math.inf
        if not 0 < per_axis**self.dim * int(alive.sum()) <= MAX_NODES:
            raise ValueError(
                f"means: quadrature takes at most 3 dimensions and {MAX_NODES} nodes, got {int(alive.sum())} "
                f"components in {self.dim} dimensions"
            )
        nodes, weights = (torch.as_tensor(part).to(self.means) for part in np.polynomial.hermite_e.hermegauss(per_axis))
        grid = torch.cartesian_prod(*[nodes] * self.dim).view(-1, self.dim)
        masses = torch.cartesian_prod(*[weights / math.sqrt(2 * math.pi)] * self.dim).view(-1, self.dim).prod(dim=1)
        points = self.means[alive, None] + grid @ self.factors[alive].mT
        found = function(points.flatten(0, 1)).view(len(points), -1)
        return (self.log_weights[alive].exp()[:, None] * masses * found).sum()


class GaussianMixtureTransition(Transition):
    """Σ_k w_k N(means_k, stds_k²), independent over the elements given k, for a batch of B states (B, d).

    log_weights (B, m), unnormalised; means (B, m, d); stds > 0, broadcastable to them. A sample is not
    reparametrised: which component it is from cannot be.
    """

    def __init__(self, log_weights: Tensor, means: Tensor, stds: Tensor):
        if means.dim() != 3 or log_weights.shape != means.shape[:2]:
            shapes = tuple(means.shape), tuple(log_weights.shape)
            raise ValueError(
                f"log_weights: expected shape (B, m) with means (B, m, d), got {shapes[1]} and {shapes[0]}"
            )
        self.log_weights, self.means = widened(log_weights).log_softmax(dim=1), means
        self.stds = torch.as_tensor(stds, dtype=means.dtype, device=means.device).expand_as(means)
        if not bool((self.stds > 0).all()):
            raise ValueError("stds: expected numbers above 0, got one that is not")

    @property
    def mean(self) -> Tensor:
        """E[x_{t+1} | x_t], (B, d)."""
        return torch.einsum("bm,bmd->bd", self.log_weights.exp(), self.means)

    @property
    def variance(self) -> Tensor:
        """Var[x_{t+1} | x_t], element by element, (B, d)."""
        squares = self.stds**2 + (self.means - self.mean[:, None]) ** 2
        return torch.einsum("bm,bmd->bd", self.log_weights.exp(), squares)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        chosen = multinomial(self.log_weights.exp(), 1, generator)[:, 0]
        rows = torch.arange(len(chosen), device=chosen.device)
        means, stds = self.means[rows, chosen], self.stds[rows, chosen]
        noise = randn(means.shape, generator, means.device, means.dtype)
        return means + stds * noise

    def log_prob(self, x_next: Tensor) -> Tensor:
        scaled = (x_next[:, None] - self.means) / self.stds
        terms = -0.5 * scaled**2 - self.stds.log() - 0.5 * math.log(2 * math.pi)
        return (self.log_weights + terms.sum(dim=2)).logsumexp(dim=1).double()

    def tilt(self, gradient: Tensor) -> "GaussianMixtureTransition":
        """Exact for a linear tilt g: means_k + s_k² g, and log w_k gains <g, means_k> + Σ s_k² g²/2."""
        moved = self.stds**2 * gradient[:, None]
        gain = (gradient[:, None] * (self.means + 0.5 * moved)).sum(dim=2)
        return GaussianMixtureTransition(self.log_weights + gain, self.means + moved, self.stds)

    def expansion_point(self, x: Tensor) -> Tensor:
        """The mean."""
        return self.mean

    def __getitem__(self, index: Any) -> "GaussianMixtureTransition":
        return GaussianMixtureTransition(self.log_weights[index], self.means[index], self.stds[index])

    @classmethod
    def cat(cls, parts: Sequence["GaussianMixtureTransition"]) -> "GaussianMixtureTransition":
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("log_weights", "means", "stds")))
