"""How networks read a sequence: token ids, or soft one-hots in their place, so that a gradient exists; and the time."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def one_hot(x: Tensor, num_letters: int, dtype: torch.dtype) -> Tensor:
    """Sequences as (B, L, V + 1), the mask last.

    x: token ids (B, L), long, or soft one-hots (B, L, V + 1), or (B, L, V) of finished sequences, which hold no mask.
    Raises ValueError for another shape.
    """
    if not x.is_floating_point():
        if x.dim() != 2:
            raise ValueError(f"x: expected token ids (B, L), got {tuple(x.shape)}")
        return F.one_hot(x, num_letters + 1).to(dtype)
    if x.dim() != 3 or x.shape[2] not in (num_letters, num_letters + 1):
        wanted = f"(B, L, {num_letters}) or (B, L, {num_letters + 1})"
        raise ValueError(f"x: expected one-hots {wanted}, got {tuple(x.shape)}")
    return F.pad(x, (0, num_letters + 1 - x.shape[2])).to(dtype)


class Embedding(nn.Module):
    """A vector for each letter and the mask, (B, L, width); linear in soft one-hots."""

    def __init__(self, num_letters: int, width: int):
        super().__init__()
        self.num_letters = num_letters
        self.weight = nn.Parameter(torch.randn(num_letters + 1, width) / math.sqrt(width))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            return one_hot(x, self.num_letters, self.weight.dtype) @ self.weight
        return F.embedding(x, self.weight)


class TimeEmbedding(nn.Module):
    """Sines and cosines of a number in [0, 1], (B,), then a perceptron: (B, width)."""

    frequencies: Tensor

    def __init__(self, width: int, num_frequencies: int = 16):
        super().__init__()
        frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), num_frequencies))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * num_frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, moments: Tensor) -> Tensor:
        angles = moments[:, None].to(self.frequencies.dtype) * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))
