"""What DDPM and DDIM share: ᾱ at the timesteps, and x̂_T of what the network predicts."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "sample", "v_prediction")


class Alphas(NamedTuple):
    """ᾱ of the T states that the steps start from, and of those that they lead to, (T,), float64."""

    now: Tensor
    later: Tensor


class Affine(NamedTuple):
    """x x_t + output out, (T,) each."""

    x: Tensor
    output: Tensor


def clean_of(scheduler: Any, now: Tensor) -> Affine:
    """x̂_T of the network's output, by `prediction_type`, at ᾱ = now (T,).

    epsilon: (x - √(1 - ᾱ) out)/√ᾱ; sample: out; v_prediction: √ᾱ x - √(1 - ᾱ) out (arXiv 2202.00512).
    Raises ValueError for another prediction type."""
    signal, noise = now.sqrt(), (1 - now).sqrt()
    kind = prediction_type(scheduler)
    if kind == "epsilon":
        return Affine(1 / signal, -noise / signal)
    if kind == "sample":
        return Affine(torch.zeros_like(now), torch.ones_like(now))
    return Affine(signal, -noise)


def noise_of(scheduler: Any, now: Tensor) -> Affine:
    """ε̂ of the network's output, before x̂_T is clipped."""
    signal, noise = now.sqrt(), (1 - now).sqrt()
    kind = prediction_type(scheduler)
    if kind == "epsilon":
        return Affine(torch.zeros_like(now), torch.ones_like(now))
    if kind == "sample":
        return Affine(1 / noise, -signal / noise)
    return Affine(noise, signal)


def prediction_type(scheduler: Any) -> str:
    kind = scheduler.config.prediction_type
    if kind not in PREDICTIONS:
        raise ValueError(f"scheduler: expected a prediction_type of {', '.join(PREDICTIONS)}, got {kind!r}")
    return str(kind)


def alphas_at(scheduler: Any, timesteps: Tensor, previous: Tensor, final: float) -> Alphas:
    """ᾱ at the timesteps and at the ones they lead to (-1 and less: `final`)."""
    table = scheduler.alphas_cumprod.detach().cpu().to(torch.float64)
    now, later = table[timesteps], table[previous.clamp(min=0)]
    return Alphas(now, torch.where(previous >= 0, later, torch.tensor(final, dtype=torch.float64)))
