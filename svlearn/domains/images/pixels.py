"""From finished states to images: latents through the autoencoder, ranges, and PIL."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint


def decode_latents(autoencoder: nn.Module, latents: Tensor, chunk: int, upcast: bool = False) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] of latents (B, C, h, w), `chunk` at a time, so that memory does not grow with B.

    latents/scaling_factor + shift_factor go in, or (latents_std/scaling_factor) latents + latents_mean where the
    configuration has these, as in diffusers' pipelines. upcast: an autoencoder in float16 whose configuration says
    `force_upcast`, as SDXL's, whose hidden states overflow there, decodes in float32, and stays as it is. Its weights
    get no gradient. A chunk of more than one whose gradient is wanted is computed again when it is asked for."""
    config: Any = autoencoder.config
    scale, shift = _affine(config, latents)
    dtype = next(autoencoder.parameters()).dtype
    state = [*autoencoder.named_parameters(), *autoencoder.named_buffers()]
    weights = {f"autoencoder.{name}": each.detach() for name, each in state}
    if upcast and dtype == torch.float16 and getattr(config, "force_upcast", False):
        dtype = torch.float32
        weights = {name: each.float() if each.is_floating_point() else each for name, each in weights.items()}
    decoder = Decoder(autoencoder)

    def decode(part: Tensor) -> Tensor:
        scaled = (part * scale + shift).to(dtype)
        return functional_call(decoder, weights, (scaled,)).to(part.dtype)

    parts = latents.split(chunk)
    if len(parts) > 1 and latents.requires_grad and torch.is_grad_enabled():
        return torch.cat([checkpoint(decode, part, use_reentrant=False) for part in parts])
    return torch.cat([decode(part) for part in parts])


class Decoder(nn.Module):
    """The half of an autoencoder that makes pixels, as a module's call."""

    def __init__(self, autoencoder: Any):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents, return_dict=False)[0]


def _affine(config: Any, latents: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """What latents are multiplied by before they are decoded, and what is added."""
    mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        mean, std = (latents.new_tensor(each).view(1, -1, 1, 1) for each in (mean, std))
        return std / config.scaling_factor, mean
    shift = getattr(config, "shift_factor", None)
    return 1 / config.scaling_factor, 0.0 if shift is None else shift


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
