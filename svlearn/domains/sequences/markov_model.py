"""A Markov model of sequences: the plain baseline that a denoiser's bits are held against."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from svlearn.arguments import integer


class MarkovModel:
    """p(letter | the `order` letters before it), by counts with one more of each; fewer letters at the start.

    tokens (N, L), long, of V letters. places: where letters are counted and told, each after any that stand before it;
    None: all L. Raises ValueError for a negative order.
    """

    def __init__(self, tokens: Tensor, num_letters: int, order: int = 3, places: Sequence[int] | None = None):
        self.order, self.num_letters = integer(order, "order", 0), num_letters
        self.places = range(tokens.shape[1]) if places is None else places
        counts = [torch.ones(num_letters**seen, num_letters, dtype=torch.float64) for seen in range(self.order + 1)]
        for place in self.places:
            context = self._context(tokens, place)
            table = counts[min(place, self.order)]
            table.index_put_((context, tokens[:, place]), table.new_ones(()), accumulate=True)
        self.log_probs = [(table / table.sum(dim=1, keepdim=True)).log() for table in counts]

    def bits(self, tokens: Tensor) -> float:
        """The mean of -log2 p(letter | before) over the places of sequences (N, L)."""
        total = torch.zeros((), dtype=torch.float64)
        for place in self.places:
            logs = self.log_probs[min(place, self.order)]
            total -= logs[self._context(tokens, place), tokens[:, place]].mean()
        return float(total) / len(self.places) / math.log(2)

    def _context(self, tokens: Tensor, place: int) -> Tensor:
        """The number of the letters before a place (N,)."""
        seen = min(place, self.order)
        before = tokens[:, place - seen : place]
        return (before * self.num_letters ** torch.arange(seen)).sum(dim=1)
