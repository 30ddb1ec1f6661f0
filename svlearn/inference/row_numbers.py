"""The numbers of rows that every step of a run asks for anew, kept."""

import torch
from torch import Tensor


class RowNumbers:
    """Tensors of row numbers on a device, made once for each shape; nobody may write to them."""

    def __init__(self) -> None:
        self._made: dict[tuple, Tensor] = {}

    def parents(self, number: int, copies: int, device: torch.device) -> Tensor:
        """0 ... number - 1, each `copies` times, side by side."""
        key = ("parents", number, copies)
        if key not in self._made:
            self._made[key] = torch.arange(number, device=device).repeat_interleave(copies)
        return self._made[key]

    def firsts(self, groups: int, size: int, device: torch.device) -> Tensor:
        """The first row of each group of `size`, (groups, 1)."""
        key = ("firsts", groups, size)
        if key not in self._made:
            self._made[key] = torch.arange(0, groups * size, size, device=device)[:, None]
        return self._made[key]

    def places(self, groups: int, size: int, device: torch.device) -> Tensor:
        """0 ... size - 1 in every group, (groups, size)."""
        key = ("places", groups, size)
        if key not in self._made:
            self._made[key] = torch.arange(size, device=device).expand(groups, size)
        return self._made[key]
