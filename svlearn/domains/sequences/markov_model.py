"""A Markov model of sequences: the plain baseline that a denoiser's bits are held against."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.arguments import integer


class MarkovModel:
    """p(letter | the `order` letters before it), by counts with one more of each; fewer letters at the start.

    tokens (N, L), long, of V letters. Raises ValueError for a negative order.
    """

    def __init__(self, tokens: Tensor, num_letters: int, order: int = 3):
        self.order, self.num_letters = integer(order, "order", 0), num_letters
        self.log_probs: list[Tensor] = []
        for seen in range(self.order + 1):
            counts = torch.ones(num_letters**seen, num_letters, dtype=torch.float64)
            places = range(seen, tokens.shape[1] if seen == self.order else min(seen + 1, tokens.shape[1]))
            for place in places:
                counts.index_put_(
                    (self._context(tokens, place, seen), tokens[:, place]), counts.new_ones(()), accumulate=True
                )
            self.log_probs.append((counts / counts.sum(dim=1, keepdim=True)).log())

    def bits(self, tokens: Tensor, places: Sequence[int] | None = None) -> float:
        """The mean of -log2 p(letter | before) over sequences (N, L) and those of their places (None: all)."""
        places = range(tokens.shape[1]) if places is None else places
        total = torch.zeros((), dtype=torch.float64)
        for place in places:
            seen = min(place, self.order)
            logs = self.log_probs[seen][self._context(tokens, place, seen), tokens[:, place]]
            total -= logs.mean()
        return float(total) / len(places) / math.log(2)

    def _context(self, tokens: Tensor, place: int, seen: int) -> Tensor:
        before = tokens[:, place - seen : place]
        return (before * self.num_letters ** torch.arange(seen)).sum(dim=1)
