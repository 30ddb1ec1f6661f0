"""From finished states to images: latents through the autoencoder, ranges, and PIL."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def decode_latents(autoencoder: nn.Module, latents: Tensor, chunk: int) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] of latents (B, C, h, w), `chunk` at a time, so that memory does not grow with B.

    latents/scaling_factor + shift_factor go in, as in diffusers' pipelines. A chunk of more than one whose gradient is
    wanted is computed again when it is asked for."""
    config: Any = autoencoder.config
    shift = getattr(config, "shift_factor", None)
    dtype = next(autoencoder.parameters()).dtype

    def decode(part: Tensor) -> Tensor:
        scaled = part / config.scaling_factor + (0.0 if shift is None else shift)
        decoded: Any = autoencoder
        return decoded.decode(scaled.to(dtype), return_dict=False)[0].to(part.dtype)

    parts = latents.split(chunk)
    if len(parts) > 1 and latents.requires_grad and torch.is_grad_enabled():
        return torch.cat([checkpoint(decode, part, use_reentrant=False) for part in parts])
    return torch.cat([decode(part) for part in parts])


def to_unit(pixels: Tensor) -> Tensor:
    """[-1, 1] to [0, 1], clamped."""
    return (pixels / 2 + 0.5).clamp(0, 1)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images (B, C, H, W) in [0, 1], C of 1 or 3, as PIL images of 8 bits, rounded."""
    channels = images.shape[1]
    if channels not in (1, 3):
        raise ValueError(f"images: expected 1 or 3 channels, got {channels}")
    values = (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(each[..., 0], "L") if channels == 1 else Image.fromarray(each, "RGB") for each in values]
