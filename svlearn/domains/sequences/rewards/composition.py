"""The share of G and C: as a reward, and as a window that it must lie in."""

from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.arguments import integer, real
from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.letters import letter_shares

G_AND_C = [DNA.letters.index(letter) for letter in "GC"]


@dataclass(frozen=True)
class GCContent:
    """r(x) = the share of G and C, in [0, 1], (B,), of token ids (B, L) of DNA or RNA, or of soft one-hots (B, L, 4).

    Raises ValueError for masked places.
    """

    reads_one_hot = True

    def __call__(self, x: Tensor) -> Tensor:
        return letter_shares(x, DNA)[..., G_AND_C].sum(dim=-1).mean(dim=-1)


@dataclass(frozen=True)
class HasGCContent:
    """Whether the share of G and C is in [low, high], bool (B,), of token ids (B, L): `targets.constraint` takes it.

    window: so many letters, and then every stretch of them must be; None: the whole sequence alone.
    Raises ValueError for low > high, shares outside [0, 1], a window longer than the sequence, and masked places.
    """

    low: float = 0.4
    high: float = 0.6
    window: int | None = None

    def __post_init__(self) -> None:
        low, high = real(self.low, "low", 0, 1), real(self.high, "high", 0, 1)
        if low > high:
            raise ValueError(f"low, high: expected low <= high, got {low} and {high}")
        if self.window is not None:
            integer(self.window, "window")

    def __call__(self, x: Tensor) -> Tensor:
        letters = letter_shares(x, DNA, dtype=torch.float64)[..., G_AND_C].sum(dim=-1)
        size = letters.shape[1] if self.window is None else self.window
        if size > letters.shape[1]:
            raise ValueError(f"x: expected sequences of {size} letters or more, got {letters.shape[1]}")
        shares = letters.unfold(1, size, 1).sum(dim=-1) / size
        return ((shares >= self.low) & (shares <= self.high)).all(dim=1)
