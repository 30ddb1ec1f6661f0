"""Quadratics and what a Gaussian does to them: means, log-mean-exponentials, tilts."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from svlearn.domains.analytic.oracle import double


class Quadratic(NamedTuple):
    """f(x) = -x'Qx/2 + c'x + k: matrix Q (d, d) symmetric, vector c (d,), constant k (), float64."""

    matrix: Tensor
    vector: Tensor
    constant: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """f(x), (B,), of points (B, d)."""
        x = x.to(self.matrix.dtype)
        return -0.5 * ((x @ self.matrix) * x).sum(dim=1) + x @ self.vector + self.constant

    def scaled(self, factor: float) -> "Quadratic":
        """factor · f."""
        return Quadratic(*(factor * part for part in self))

    def of_affine(self, matrix: Tensor, offset: Tensor) -> "Quadratic":
        """x -> f(matrix x + offset)."""
        constant = self.constant + self.vector @ offset - 0.5 * offset @ self.matrix @ offset
        return Quadratic(matrix.T @ self.matrix @ matrix, matrix.T @ (self.vector - self.matrix @ offset), constant)

    def mean(self, covariance: Tensor) -> "Quadratic":
        """m -> E[f(x)], x ~ N(m, C), C = covariance (d, d): f less tr(QC)/2."""
        return self._replace(constant=self.constant - 0.5 * (self.matrix * covariance).sum())

    def tilt(self, factor: Tensor, step: int | str) -> "Tilt":
        """N(m, L L') exp(f) for every m at once, L = factor. See `Tilt`.

        Raises ValueError where E[exp(f)] is infinite; `step` tells the message where.
        """
        precision = torch.eye(len(factor), dtype=factor.dtype, device=factor.device) + factor.T @ self.matrix @ factor
        root, failed = torch.linalg.cholesky_ex(0.5 * (precision + precision.T))
        if bool(failed):
            smallest = float(torch.linalg.eigvalsh(precision)[0])
            raise ValueError(
                "reward: E[exp(reward/alpha)] is infinite, its matrix/alpha outgrows the noise: the smallest "
                f"eigenvalue of I + L'(Q/alpha)L is {smallest:.3g} at step {step}; use a larger alpha"
            )
        half = torch.linalg.solve_triangular(root, factor.T, upper=False)
        covariance = half.T @ half
        log_det = 2 * root.diagonal().log().sum()
        pulled = covariance @ self.vector
        log_mean_exp = Quadratic(
            self.matrix - self.matrix @ covariance @ self.matrix,
            self.vector - self.matrix @ pulled,
            self.constant - 0.5 * log_det + 0.5 * self.vector @ pulled,
        )
        shrink = torch.eye(len(factor), dtype=factor.dtype, device=factor.device) - covariance @ self.matrix
        mismatch = 0.5 * (torch.trace(precision) - len(factor) - log_det)
        return Tilt(shrink, pulled, half.T, log_mean_exp, mismatch)


class Tilt(NamedTuple):
    """N(m, L L') exp(f) / E[exp(f)] = N(shrink m + shift, factor factor'), as a function of m.

    With G = L (I + L'QL)^-1 L' the tilted covariance: shrink = I - GQ, shift = Gc. log_mean_exp is the quadratic
    m -> log E[exp(f(m + L ε))]; mismatch, nats, is KL(N(·, L L') || N(·, G)) at equal means,
    (tr(L'QL) - log det(I + L'QL))/2.
    """

    shrink: Tensor
    shift: Tensor
    factor: Tensor
    log_mean_exp: Quadratic
    mismatch: Tensor


class QuadraticReward(nn.Module):
    """r(x) = -x'Qx/2 + c'x + k, (B,), of states (B, d); Q need not be positive. Float64.

    matrix Q (d, d), symmetric; vector c (d,); constant k. Raises ValueError for wrong shapes, an asymmetric Q and
    numbers that are not finite.
    """

    matrix: Tensor
    vector: Tensor
    constant: Tensor

    def __init__(self, matrix: Tensor, vector: Tensor, constant: float = 0.0):
        super().__init__()
        vector = torch.as_tensor(vector, dtype=torch.float64)
        if vector.dim() != 1:
            raise ValueError(f"vector: expected shape (d,), got {tuple(vector.shape)}")
        matrix = double(matrix, (len(vector), len(vector)), "matrix")
        level = double(constant, (), "constant")
        for name, part in (("matrix", matrix), ("vector", vector), ("constant", level)):
            if not bool(part.isfinite().all()):
                raise ValueError(f"{name}: expected finite numbers, got {part.tolist()}")
        if not torch.allclose(matrix, matrix.T):
            raise ValueError("matrix: expected a symmetric one, got one that differs from its transpose")
        self.register_buffer("matrix", 0.5 * (matrix + matrix.T))
        self.register_buffer("vector", vector.clone())
        self.register_buffer("constant", level)

    @property
    def quadratic(self) -> Quadratic:
        return Quadratic(self.matrix, self.vector, self.constant)

    def forward(self, x: Tensor) -> Tensor:
        return self.quadratic(x)


def factor(covariance: Tensor, name: str) -> Tensor:
    """L with L L' = covariance (d, d), symmetric and positive semi-definite (singular is legal), else ValueError."""
    if not torch.allclose(covariance, covariance.T):
        raise ValueError(f"{name}: expected a symmetric matrix, got one that differs from its transpose")
    variances, axes = torch.linalg.eigh(covariance)
    if bool(variances[0] < -1e-10 * variances.abs().max()):
        raise ValueError(f"{name}: expected eigenvalues of at least 0, got {variances[0].item():.3g}")
    return axes * variances.clamp(min=0).sqrt()
