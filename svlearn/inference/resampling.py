"""Resampling: from weights to ancestors, each particle kept K w_k times on average.

Every scheme takes normalised weights (B, K), float64, and as many uniform numbers in [0, 1), drawn by the caller, and
gives ancestors (B, K), long: E[#copies of k] = K w_k.
See Douc, Cappé and Moulines (2005), "Comparison of resampling schemes for particle filtering".
"""

from collections.abc import Callable

import torch
from torch import Tensor

from svlearn.inference.indices import count_up

Scheme = Callable[[Tensor, Tensor], Tensor]


def multinomial(weights: Tensor, uniforms: Tensor) -> Tensor:
    """K independent draws."""
    return _invert(weights, uniforms)


def stratified(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One uniform in each of K equal strata of [0, 1)."""
    return _invert(weights, (_places(weights) + uniforms) / weights.shape[1])


def systematic(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One uniform, shared by all K strata: the fewest draws, usually the least variance."""
    return stratified(weights, uniforms[:, :1])


def residual(weights: Tensor, uniforms: Tensor) -> Tensor:
    """⌊K w_k⌋ copies for certain, the rest by independent draws from what is left."""
    size = weights.shape[1]
    copies = (size * weights).floor()
    left = size * weights - copies
    missing = size - copies.sum(dim=1, keepdim=True)
    left = torch.where(missing > 0, left, torch.ones_like(left))  # a row with nothing missing draws in vain
    counted = (_places(weights) < missing).to(weights.dtype)
    copies = copies.scatter_add(1, _invert(left, uniforms), counted)
    places = _places(weights).expand_as(weights).contiguous()
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
    return effective_size(log_weights.softmax(dim=1)).nan_to_num(nan=0.0)


def effective_size(weights: Tensor) -> Tensor:
    """1/Σw², (B,), in particles, of normalised weights (B, K); NaN of those that are, the softmax of a dead group."""
    return weights.square().sum(dim=1).reciprocal()


def central_moments(numbers: Tensor) -> Tensor:
    """The variance and the third central moment, (..., 2), of the numbers of each row (..., n) but for -inf; 0 of none.

    NaN of a row with NaN or inf.
    """
    finite = numbers != -torch.inf
    size = finite.sum(dim=-1, keepdim=True).clamp(min=1)
    numbers = torch.where(finite, numbers, 0.0)
    deviations = (numbers - numbers.sum(dim=-1, keepdim=True) / size) * finite
    squares = deviations * deviations
    return torch.stack([squares, squares * deviations], dim=-2).sum(dim=-1) / size


def _places(weights: Tensor) -> Tensor:
    return count_up(weights.shape[1], weights.device, weights.dtype)


def _invert(weights: Tensor, points: Tensor) -> Tensor:
    """The particle under each point of [0, 1), (B, K), where the weights lie end to end; they need no sum of 1."""
    cumulative = weights.cumsum(dim=1)
    cumulative = cumulative / cumulative[:, -1:]
    return torch.searchsorted(cumulative, points.contiguous(), right=True).clamp(max=weights.shape[1] - 1)
