"""The sampler benchmarks: densities that are hard to sample, of a known normaliser, and exact draws from them."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from svlearn.domains.analytic.gaussian_reference import GaussianReference
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.randomness import CPU, rand, randn
from svlearn.targets import Target, unnormalized_density

CELLS = 40_000


class Density(nn.Module, ABC):
    """π̃(x) of points (B, dim), unnormalised, with what is known of it. Float64."""

    dim: int

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """log π̃(x), (B,), nats."""

    @property
    @abstractmethod
    def log_normalizer(self) -> Tensor:
        """log ∫ π̃, (), nats."""

    @abstractmethod
    def sample(self, number: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws of π, (number, dim)."""

    def target(self, reference: GaussianReference) -> Target:
        """p* = π: r = log π̃ - log p_ref(x_T), alpha = 1; log Z is the density's own.

        Raises ValueError where the dimensions differ.
        """
        if reference.dim != self.dim:
            raise ValueError(f"reference: expected {self.dim} dimensions, got {reference.dim}")
        return unnormalized_density(self.log_density, reference.log_reference)


class MixtureDensity(Density):
    """A Gaussian mixture; log Z = 0."""

    def __init__(self, mixture: GaussianMixture):
        super().__init__()
        self.mixture, self.dim = mixture, mixture.dim

    def log_density(self, x: Tensor) -> Tensor:
        return self.mixture.log_prob(x)

    @property
    def log_normalizer(self) -> Tensor:
        return self.mixture.means.new_zeros(())

    def sample(self, number: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.mixture.sample(number, generator=generator)


class Funnel(Density):
    """Neal's funnel: x_0 ~ N(0, std²), the other dim - 1 are N(0, exp(x_0)) given it; log Z = 0.

    std = 3 and dim = 10 as in PIS (arXiv 2111.15141) and after. Raises ValueError for dim < 2 and std <= 0.
    """

    std: Tensor

    def __init__(self, dim: int = 10, std: float = 3.0):
        super().__init__()
        if dim < 2:
            raise ValueError(f"dim: expected at least 2, got {dim}")
        if not std > 0:
            raise ValueError(f"std: expected a number above 0, got {std}")
        self.dim = dim
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64))

    def log_density(self, x: Tensor) -> Tensor:
        x = x.to(self.std.dtype)
        width, others = x[:, 0], x[:, 1:]
        first = -0.5 * (width / self.std) ** 2 - self.std.log()
        rest = -0.5 * others.square().sum(dim=1) * (-width).exp() - 0.5 * (self.dim - 1) * width
        return first + rest - 0.5 * self.dim * math.log(2 * math.pi)

    @property
    def log_normalizer(self) -> Tensor:
        return self.std.new_zeros(())

    def sample(self, number: int, *, generator: torch.Generator | None = None) -> Tensor:
        noise = randn((number, self.dim), generator, self.std.device, self.std.dtype)
        width = self.std * noise[:, :1]
        return torch.cat([width, (0.5 * width).exp() * noise[:, 1:]], dim=1)


class Wells(Density):
    """log π̃(x) = Σ_{i in wells} p(x_i) - 1/2 Σ_{others} x_i², p a polynomial of even degree that falls on both sides.

    coefficients (n + 1,): of x^0, ..., x^n; wells (dim,) bool. log Z is by the trapezoid rule, which is exact to
    rounding for such a density; draws are by its inverse distribution function on the same grid, whose error is below
    1e-6. Raises ValueError for a polynomial that does not fall on both sides.
    """

    coefficients: Tensor
    wells: Tensor
    grid: Tensor
    distribution: Tensor
    log_mass: Tensor

    def __init__(self, coefficients: Tensor, wells: Tensor):
        super().__init__()
        coefficients = torch.as_tensor(coefficients, dtype=torch.float64).clone()
        if coefficients.dim() != 1 or len(coefficients) < 3 or len(coefficients) % 2 == 0 or coefficients[-1] >= 0:
            raise ValueError(f"coefficients: expected an even degree and the last below 0, got {coefficients.tolist()}")
        wells = torch.as_tensor(wells)
        if wells.dim() != 1 or wells.dtype != torch.bool:
            raise ValueError(f"wells: expected a bool tensor (dim,), got {tuple(wells.shape)}, {wells.dtype}")
        self.dim = len(wells)
        self.register_buffer("coefficients", coefficients)
        self.register_buffer("wells", wells)
        self.register_buffer("grid", self._reach())
        heights = _polynomial(self.coefficients, self.grid)
        masses = (heights - heights.max()).exp()
        total = torch.cumulative_trapezoid(masses, self.grid)
        self.register_buffer("log_mass", heights.max() + total[-1].log())
        self.register_buffer("distribution", torch.cat([total.new_zeros(1), total / total[-1]]))

    def log_density(self, x: Tensor) -> Tensor:
        x = x.to(self.coefficients.dtype)
        return torch.where(self.wells, _polynomial(self.coefficients, x), -0.5 * x**2).sum(dim=1)

    @property
    def log_normalizer(self) -> Tensor:
        number = int(self.wells.sum())
        return number * self.log_mass + 0.5 * (self.dim - number) * math.log(2 * math.pi)

    def sample(self, number: int, *, generator: torch.Generator | None = None) -> Tensor:
        shape, dtype, device = (number, self.dim), self.grid.dtype, self.grid.device
        noise = randn(shape, generator, device, dtype)
        levels = rand(shape, generator, device, dtype)
        above = torch.searchsorted(self.distribution, levels).clamp(1, len(self.grid) - 1)
        low, high = self.distribution[above - 1], self.distribution[above]
        share = (levels - low) / (high - low).clamp(min=torch.finfo(self.grid.dtype).tiny)
        return torch.where(self.wells, torch.lerp(self.grid[above - 1], self.grid[above], share), noise)

    def _reach(self) -> Tensor:
        """A grid, symmetric about 0, outside of which the density is below e^-80 of its largest value."""
        half = 1.0
        while True:
            grid = torch.linspace(-half, half, CELLS + 1, dtype=torch.float64)
            heights = _polynomial(self.coefficients, grid)
            if bool(torch.maximum(heights[0], heights[-1]) < heights.max() - 80):
                return grid
            half *= 1.5


def gmm40() -> MixtureDensity:
    """40 modes in two dimensions, means uniform in [-40, 40]², all of std softplus(1) = 1.313 and of equal weight.

    The very mixture of FAB (arXiv 2208.01893): its means are drawn by torch's generator at seed 0, in float32.
    """
    uniform = rand((40, 2), torch.Generator().manual_seed(0), CPU, torch.float32)
    variance = float(softplus(torch.tensor(1.0, dtype=torch.float64)) ** 2)
    return MixtureDensity(GaussianMixture(torch.ones(40), ((uniform - 0.5) * 80).double(), variance))


def many_well(dim: int = 32) -> Wells:
    """dim/2 copies of log π̃(x, y) = -x⁴ + 6x² + x/2 - y²/2, the x at even places: 2^(dim/2) modes (2208.01893).

    Raises ValueError for an odd dim.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim: expected an even number of at least 2, got {dim}")
    return Wells(torch.tensor([0.0, 0.5, 6.0, 0.0, -1.0]), torch.arange(dim) % 2 == 0)


def double_well(num_wells: int, delta: float, dim: int) -> Wells:
    """log π̃(x) = -Σ_{i <= m} (x_i² - δ)² - 1/2 Σ_{i > m} x_i², m = num_wells: 2^m modes (arXiv 2307.01198).

    Raises ValueError unless 0 <= num_wells <= dim.
    """
    if not 0 <= num_wells <= dim:
        raise ValueError(f"num_wells: expected 0 to {dim}, got {num_wells}")
    coefficients = torch.tensor([-(delta**2), 0.0, 2 * delta, 0.0, -1.0], dtype=torch.float64)
    return Wells(coefficients, torch.arange(dim) < num_wells)


def _polynomial(coefficients: Tensor, x: Tensor) -> Tensor:
    value = torch.zeros_like(x)
    for coefficient in coefficients.flip(0):
        value = value * x + coefficient
    return value
