"""The numbers of rows that every step of a run asks for; those of a shape are made once: write to none."""

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


def rows(places: Tensor | None, shape: tuple[int, int, int]) -> Tensor | None:
    """Places (B, K') among the K · M candidates of each group as rows of all candidates, (B · K',)."""
    batch_size, size, copies = shape
    if places is None:
        return None
    return (places + firsts(batch_size, size * copies, places.device)).flatten()


def ancestors(places: Tensor | None, shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """The particles (B, K') that the candidates at these places were drawn from."""
    batch_size, size, copies = shape
    if places is None or size == 1:
        return count_up(size, device).expand(batch_size, size)
    return places if copies == 1 else places // copies
