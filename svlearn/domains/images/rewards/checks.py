"""What a reward on images takes: floats (B, C, H, W) in [0, 1], of one channel or three."""

from typing import Any

import torch
from torch import Tensor

from svlearn.shapes import forget, is_new
from svlearn.targets import NonFiniteError

CHANNELS = (1, 3)
SLACK = 1e-3  # that a number may be outside [0, 1], from rounding in half precision


def check_images(images: Any, reward: object) -> None:
    """Raise unless images (B, C, H, W) are floats in [0, 1] of one channel or three.

    Their numbers are looked at where a reward meets a shape first. Raises TypeError for what is no tensor, ValueError
    for another layout, kind of numbers or range, each with what to write, NonFiniteError for NaN, with its index.
    """
    name = type(reward).__name__
    if not isinstance(images, Tensor):
        raise TypeError(f"images: {name} expects a tensor (B, C, H, W), got {type(images).__name__}")
    shape = tuple(images.shape)
    if images.dim() != 4:
        raise ValueError(f"images: {name} expects shape (B, C, H, W), got {shape}")
    if shape[1] not in CHANNELS:
        last = shape[3] in CHANNELS
        advice = "these are (B, H, W, C): images.permute(0, 3, 1, 2)" if last else "latents: decode them first"
        raise ValueError(f"images: {name} expects (B, C, H, W) with 1 or 3 channels, got {shape}; if {advice}")
    if not images.is_floating_point():
        raise ValueError(f"images: {name} expects floats in [0, 1], got {images.dtype}; write images.float() / 255")
    if len(images) and is_new(reward, (shape[1:], images.dtype)):
        try:
            _check_numbers(images.detach(), name)
        except ValueError:
            forget(reward)
            raise


@torch.no_grad()
def _check_numbers(images: Tensor, name: str) -> None:
    least, most = float(images.amin()), float(images.amax())
    if least >= -SLACK and most <= 1 + SLACK:
        return
    if least != least or most != most:
        row = int(images.isnan().flatten(1).any(dim=1).nonzero()[0])
        raise NonFiniteError(
            f"images: {name} expects numbers in [0, 1], got NaN at index {row}; a decoder in float16 may overflow: run "
            "it in float32 or bfloat16"
        )
    scaled = "(images + 1) / 2" if least < 0 and most <= 2 else "images / 255" if least >= 0 else "images.clamp(0, 1)"
    raise ValueError(f"images: {name} expects numbers in [0, 1], got {least:g} to {most:g}; write {scaled}")
