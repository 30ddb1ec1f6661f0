"""What a tree holds of its nodes at one t: batches that come roll-out by roll-out."""

from typing import Any

import torch
from torch import Tensor

from svlearn.state import concatenate, take


class NodeStore:
    """Batches that come one after the other, read by their places in all of them; joined only when they are read."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.size = 0

    def add(self, batch: Any, size: int) -> Tensor:
        """The places (size,) of a new batch."""
        self.batches.append(batch)
        self.size += size
        return torch.arange(self.size - size, self.size)

    def __getitem__(self, places: Tensor) -> Any:
        self.batches = [concatenate(self.batches)]
        return take(self.batches[0], places)
