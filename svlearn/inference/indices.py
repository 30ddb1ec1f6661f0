"""The numbers of rows that every step of a run asks for anew, made once for each shape; nobody may write to them."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache
@torch.inference_mode(mode=False)  # what is kept must serve training too
def count_up(number: int, device: torch.device, dtype: torch.dtype = torch.long) -> Tensor:
    """0 ... number - 1."""
    return torch.arange(number, device=device, dtype=dtype)


@lru_cache
@torch.inference_mode(mode=False)
def parents(number: int, copies: int, device: torch.device) -> Tensor:
    """0 ... number - 1, each `copies` times, side by side."""
    return torch.arange(number, device=device).repeat_interleave(copies)


@lru_cache
@torch.inference_mode(mode=False)
def firsts(groups: int, size: int, device: torch.device) -> Tensor:
    """The first row of each group of `size`, (groups, 1)."""
    return torch.arange(0, groups * size, size, device=device)[:, None]
