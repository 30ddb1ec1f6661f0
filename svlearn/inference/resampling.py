"""Resampling: from weights to ancestors, each particle kept K w_k times on average.

Every scheme takes normalised weights (B, K), float64, and gives ancestors (B, K), long: E[#copies of k] = K w_k.
See Douc, Cappé and Moulines (2005), "Comparison of resampling schemes for particle filtering".
"""

from collections.abc import Callable

import torch
from torch import Tensor

Scheme = Callable[[Tensor, torch.Generator | None], Tensor]


def multinomial(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """K independent draws."""
    return torch.multinomial(weights, weights.shape[1], replacement=True, generator=generator)


def stratified(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One uniform in each of K equal strata of [0, 1)."""
    return _invert(weights, torch.rand(weights.shape, generator=generator, dtype=weights.dtype, device=weights.device))


def systematic(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One uniform, shared by all K strata: the fewest draws, usually the least variance."""
    shape = (len(weights), 1)
    return _invert(weights, torch.rand(shape, generator=generator, dtype=weights.dtype, device=weights.device))


def residual(weights: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """⌊K w_k⌋ copies for certain, the rest by independent draws from what is left."""
    size = weights.shape[1]
    copies = (size * weights).floor()
    left = size * weights - copies
    missing = size - copies.sum(dim=1, keepdim=True)
    left = torch.where(missing > 0, left, torch.ones_like(left))  # a row with nothing missing draws in vain
    drawn = torch.multinomial(left, size, replacement=True, generator=generator)
    counted = (torch.arange(size, device=weights.device) < missing).to(weights.dtype)
    copies = copies.scatter_add(1, drawn, counted)
    places = torch.arange(size, device=weights.device, dtype=weights.dtype).expand_as(weights).contiguous()
    return torch.searchsorted(copies.cumsum(dim=1), places, right=True).clamp(max=size - 1)


SCHEMES: dict[str, Scheme] = {
    "multinomial": multinomial,
    "stratified": stratified,
    "systematic": systematic,
    "residual": residual,
}


def scheme(name: str) -> Scheme:
    """The scheme of that name; raises ValueError with the known ones."""
    if name not in SCHEMES:
        raise ValueError(f"resampling: expected one of {', '.join(SCHEMES)}, got {name!r}")
    return SCHEMES[name]


def ess(log_weights: Tensor) -> Tensor:
    """Effective sample size (Σw)²/Σw², (B,), in particles, of unnormalised log-weights (B, K); 0 for a dead group."""
    log_sum = log_weights.logsumexp(dim=1)
    alive = log_sum > -torch.inf
    return torch.where(alive, (2 * log_sum - (2 * log_weights).logsumexp(dim=1)).exp(), 0.0)


def _invert(weights: Tensor, uniforms: Tensor) -> Tensor:
    size = weights.shape[1]
    points = (torch.arange(size, device=weights.device, dtype=weights.dtype) + uniforms) / size
    cumulative = weights.cumsum(dim=1)
    cumulative = cumulative / cumulative[:, -1:]
    return torch.searchsorted(cumulative, points.contiguous(), right=True).clamp(max=size - 1)
