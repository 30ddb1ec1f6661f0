"""Images as CLIP and BLIP read them: resized, cropped or padded, and normalised, differentiable."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training images


def cropped(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) in [0, 1] as (B, 3, size, size): the shorter side resized to `size`, the centre cropped.

    As transformers' CLIPImageProcessor does, but for its rounding to 256 levels.
    """
    height, width = images.shape[2:]
    shorter = min(height, width)
    images = resized(in_colour(images), int(size * height / shorter), int(size * width / shorter))
    top, left = (images.shape[2] - size) // 2, (images.shape[3] - size) // 2
    return images[:, :, top : top + size, left : left + size]


def padded(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) in [0, 1] as (B, 3, size, size): the longer side resized to `size`, black at the others.

    As HPSv2's code does (arXiv 2306.09341).
    """
    height, width = images.shape[2:]
    scale = size / max(height, width)
    images = resized(in_colour(images), round(height * scale), round(width * scale))
    below, beside = size - images.shape[2], size - images.shape[3]
    return F.pad(images, (beside // 2, beside - beside // 2, below // 2, below - below // 2))


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialiasing, as Pillow's, clamped to [0, 1]."""
    images = images if images.dtype == torch.float64 else images.float()
    if images.shape[2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def in_colour(images: Tensor) -> Tensor:
    """Images (B, 1 or 3, H, W) with three channels."""
    return images.expand(-1, 3, -1, -1)


def normalised(images: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(images - mean) / std, channel by channel."""
    return (images - images.new_tensor(mean).view(3, 1, 1)) / images.new_tensor(std).view(3, 1, 1)
