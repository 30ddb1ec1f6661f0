"""Gaussian reference processes for the sampler benchmarks: their law of x_T is known."""

import math

import torch
from torch import Tensor

from svlearn.domains.analytic.oracle import double, unconditional
from svlearn.process import Prediction, Reference
from svlearn.randomness import randn
from svlearn.schedules import NoiseLevels
from svlearn.transitions import GaussianTransition


class GaussianReference(Reference):
    """x_0 ~ N(0, initial_std²); x_{t+1} = scales_t x_t + stds_t · noise, t = 0 ... T - 1; states (B, d), isotropic.

    scales and stds (T,), stds >= 0; initial_std >= 0, and 0 starts at the point 0, which is memoryless: I(x_0; x_T) =
    0. Float64, or what `.float()` makes of it. Raises ValueError for wrong shapes and an x_T without spread.
    """

    scales: Tensor
    stds: Tensor
    variances: Tensor

    def __init__(self, dim: int, scales: Tensor, stds: Tensor, initial_std: float = 0.0):
        super().__init__()
        scales = torch.as_tensor(scales, dtype=torch.float64)
        if scales.dim() != 1 or not len(scales):
            raise ValueError(f"scales: expected shape (T,), T >= 1, got {tuple(scales.shape)}")
        stds = double(stds, tuple(scales.shape), "stds")
        if not bool((stds >= 0).all()) or not initial_std >= 0:
            raise ValueError(f"stds: expected numbers of at least 0, got {stds.tolist()} after {initial_std}")
        if dim < 1:
            raise ValueError(f"dim: expected at least 1, got {dim}")
        variances = [torch.tensor(initial_std, dtype=torch.float64) ** 2]
        for scale, std in zip(scales, stds, strict=True):
            variances.append(scale**2 * variances[-1] + std**2)
        if not variances[-1] > 0:
            raise ValueError("stds: expected an x_T of a variance above 0, got 0")
        self.dim, self.num_steps = dim, len(scales)
        self.register_buffer("scales", scales.clone())
        self.register_buffer("stds", stds)
        self.register_buffer("variances", torch.stack(variances))

    @classmethod
    def brownian(cls, dim: int, num_steps: int, std: float = 1.0) -> "GaussianReference":
        """x_0 = 0, T equal steps, x_T ~ N(0, std²): the reference of PIS (arXiv 2111.15141)."""
        stds = torch.full((num_steps,), std / math.sqrt(num_steps), dtype=torch.float64)
        return cls(dim, torch.ones(num_steps), stds)

    @classmethod
    def ornstein_uhlenbeck(
        cls, dim: int, num_steps: int, std: float = 1.0, correlation: float = 0.05
    ) -> "GaussianReference":
        """Stationary at N(0, std²), T equal steps; `correlation` in (0, 1) is that of x_0 and x_T.

        It is never memoryless: I(x_0; x_T) = -d log(1 - correlation²)/2 nats.
        """
        if not 0 < correlation < 1:
            raise ValueError(f"correlation: expected a number in (0, 1), got {correlation}")
        scale = correlation ** (1 / num_steps)
        stds = torch.full((num_steps,), std * math.sqrt(1 - scale**2), dtype=torch.float64)
        return cls(dim, torch.full((num_steps,), scale, dtype=torch.float64), stds, std)

    def initial(self, batch_size: int, *, condition: None = None, generator: torch.Generator | None = None) -> Tensor:
        unconditional(condition, self)
        noise = randn((batch_size, self.dim), generator, self.variances.device, self.variances.dtype)
        return self.variances[0].sqrt() * noise

    def initial_law(self, x: Tensor) -> GaussianTransition:
        return GaussianTransition(torch.zeros_like(x), self.variances[0].sqrt())

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        """The step, clean = E[x_T | x_t] and clean_law = p_ref(x_T | x_t)."""
        x = x.to(self.scales.dtype)
        law = GaussianTransition(self.scales[t][:, None] * x, self.stds[t][:, None])
        last = torch.full_like(t, self.num_steps)
        kept = self._kept(t, last)
        spread = (self.variances[last] - kept**2 * self.variances[t]).clamp(min=0).sqrt()
        clean = kept[:, None] * x
        return Prediction(law, clean=clean, clean_law=GaussianTransition(clean, spread[:, None]))

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """The reversal: x_s | x_t ~ N(c (v_s/v_t) x_t, v_s - c² v_s²/v_t), s = t_to, c the scales' product."""
        if bool((t_to > t_from).any()):
            raise ValueError(f"t_to: expected times at or before t_from, got {t_to.tolist()} and {t_from.tolist()}")
        x = x.to(self.scales.dtype)
        earlier, later, kept = self.variances[t_to], self.variances[t_from], self._kept(t_to, t_from)
        gain = torch.where(later > 0, kept * earlier / later.clamp(min=torch.finfo(later.dtype).tiny), 0.0)
        gain = torch.where(t_to == t_from, 1.0, gain)
        spread = (earlier * (1 - gain * kept)).clamp(min=0).sqrt()
        noise = randn(x.shape, generator, x.device, x.dtype)
        return gain[:, None] * x + spread[:, None] * noise

    def noise_levels(self) -> NoiseLevels:
        """Of x_t given x_T, (T + 1,) each: c v_t/v_T and √(v_t - c² v_t²/v_T), c the product of the scales from t on.

        Raises ValueError where a scale is not above 0, so that x_t loses the sign or all of x_T.
        """
        t = torch.arange(self.num_steps + 1, device=self.scales.device)
        scales = self._kept(t, torch.full_like(t, self.num_steps)) * self.variances / self.variances[-1]
        spread = (self.variances - scales**2 * self.variances[-1]).clamp(min=0)
        scales[-1], spread[-1] = 1.0, 0.0
        return NoiseLevels(scales, spread.sqrt())

    def log_reference(self, x: Tensor) -> Tensor:
        """log p_ref(x_T), (B,), nats."""
        x = x.to(self.variances.dtype)
        variance = self.variances[-1]
        return -0.5 * x.square().sum(dim=1) / variance - 0.5 * self.dim * (2 * math.pi * variance).log()

    def mutual_information(self) -> Tensor:
        """I(x_0; x_T), (), nats: -d log(1 - correlation²)/2."""
        squared = self.scales.prod() ** 2 * self.variances[0] / self.variances[-1]
        return -0.5 * self.dim * (1 - squared).log()

    def _kept(self, t: Tensor, later: Tensor) -> Tensor:
        """The product of scales from t up to the later time, (B,)."""
        places = torch.arange(self.num_steps, device=self.scales.device)
        between = (places >= t[:, None]) & (places < later[:, None])
        return torch.where(between, self.scales, 1.0).prod(dim=1)
