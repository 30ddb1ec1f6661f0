"""A control network for the sampler benchmarks, with the gradient of the target as a guide."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from svlearn.domains.analytic.gaussian_reference import GaussianReference

FREQUENCIES = 4
LIMIT = 20.0
QUIET = 0.1
SEEN = 4  # what the perceptron of a coordinate reads


class LangevinControl(nn.Module):
    """g(x, t) = (NN1(x/σ, asinh h, t) + NN2(x_i/σ, tanh(2x_i/σ), asinh h_i, h_i, t)_i + c_t h)/σ_t, (B, d), nats per x.

    h = σ_t ∇ log π̃(x), clipped at ±20. σ_t² is what the steps t ... T - 1 add to the variance of the reference's x_T,
    σ² the variance of x_T; in units of 1/σ_t the control is of the order 1 at every t. NN1 reads the whole state; NN2
    is one small perceptron that all coordinates share, so that each trajectory teaches it d times. Both are 0 at
    first. NN1 counts a tenth: else the noise of its many steps drowns what a loss of whole trajectories can tell in
    many dimensions. (PIS, arXiv 2111.15141, has NN1 and a function of time that multiplies the gradient.)
    c_t = τ²/(σ_t² + τ²), τ = detail: the right gain for a Gaussian of that std under a wide reference, so a good
    start near a mode of π; τ = 0 starts at p_ref. Where π is a product, as the many-well is, the exact control acts
    coordinate by coordinate, so NN2 suits it; no coordinate is told what it is, nor which belong together.

    The states may be in another dtype than the network; its answer is in theirs.
    log_density: log π̃, (B, d) -> (B,), nats, differentiable. hidden, shared: the widths; layers: how many hidden ones
    NN1 has, >= 1. Raises ValueError for layers < 1 and detail < 0.
    """

    gains: Tensor
    spreads: Tensor
    embedding: Tensor
    scale: Tensor

    def __init__(
        self,
        reference: GaussianReference,
        log_density: Callable[[Tensor], Tensor],
        *,
        detail: float = 0.0,
        hidden: int = 128,
        shared: int = 32,
        layers: int = 2,
    ):
        super().__init__()
        if layers < 1:
            raise ValueError(f"layers: expected at least 1, got {layers}")
        if not detail >= 0:
            raise ValueError(f"detail: expected a std of at least 0, got {detail}")
        self.log_density = log_density
        kept = torch.cat([reference.scales.new_ones(1), reference.scales.flip(0)[:-1].cumprod(0)]).flip(0)
        remaining = ((kept * reference.stds) ** 2).flip(0).cumsum(0).flip(0)
        self.register_buffer("spreads", remaining.sqrt().float())
        self.register_buffer("gains", (detail**2 / (remaining + detail**2)).float())
        self.register_buffer("scale", reference.variances[-1].sqrt().float())
        share = torch.arange(reference.num_steps) / reference.num_steps
        angles = math.pi * share[:, None] * torch.arange(1, FREQUENCIES + 1)
        self.register_buffer("embedding", torch.cat([share[:, None], angles.sin(), angles.cos()], dim=1))
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES + 1, hidden), nn.SiLU())
        self.whole = Conditioned([2 * reference.dim, *[hidden] * layers, reference.dim], hidden)
        self.each = Conditioned([SEEN, shared, shared, 1], hidden)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        kind = self.scale.dtype
        spread, place = self.spreads[t][:, None], (x / self.scale).to(kind)
        slope = (spread * self.gradient(x)).clamp(-LIMIT, LIMIT).to(kind)
        moments = self.time(self.embedding)
        whole = self.whole(torch.cat([place, slope.asinh()], dim=1), moments, t)
        seen = torch.stack([place, (2 * place).tanh(), slope.asinh(), slope / LIMIT], dim=2)
        each = self.each(seen, moments, t)[:, :, 0]
        return ((QUIET * whole + each + self.gains[t][:, None] * slope) / spread).to(x.dtype)

    def gradient(self, x: Tensor) -> Tensor:
        """∇ log π̃(x), (B, d); differentiable in x where x is, as back-propagation through a rollout needs."""
        if torch.is_grad_enabled() and x.requires_grad:
            return torch.autograd.grad(self.log_density(x).sum(), x, create_graph=True)[0].to(x.dtype)
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            return torch.autograd.grad(self.log_density(x).sum(), x)[0].to(x.dtype)


class Conditioned(nn.Module):
    """A perceptron, 0 at first, whose hidden layers are shifted by what a time is embedded as."""

    def __init__(self, widths: list[int], embedded: int):
        super().__init__()
        inner, self.out = [nn.Linear(*pair) for pair in pairwise(widths[:-1])], nn.Linear(widths[-2], widths[-1])
        self.inner = nn.ModuleList(inner)
        self.shifts = nn.ModuleList(nn.Linear(embedded, width) for width in widths[1:-1])
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, moments: Tensor, t: Tensor) -> Tensor:
        """x (B, ..., n) with the embedded times (T, m), of which each row's is t (B,)."""
        for layer, shift in zip(self.inner, self.shifts, strict=True):
            shifted = shift(moments)[t].view(len(x), *[1] * (x.dim() - 2), -1)
            x = nn.functional.silu(layer(x) + shifted)
        return self.out(x)
