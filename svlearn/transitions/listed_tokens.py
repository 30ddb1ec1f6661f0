"""The law of the next token of texts as one over listed texts, none of which is made before it is asked for."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.randomness import categorical
from svlearn.state import concatenate, take
from svlearn.transitions.listed import ListedTransition


def append(x: Tensor, tokens: Tensor) -> Tensor:
    """Texts (B, L + 1), the last column the position, with one more token (B,) each."""
    x_next = x.clone()
    x_next.scatter_(1, x[:, -1:], tokens[:, None])
    x_next[:, -1] = x[:, -1] + 1
    return x_next


class ListedTokens(ListedTransition):
    """The law of the next token as one over listed texts (B, N, L + 1), which are made when they are asked for.

    x (B, L + 1) and finished (B,) as in `AppendingTransition`; tokens (N,) that may follow, logits (B, N). A finished
    text is listed as itself at every place, and its logits are to be -inf but at one.
    """

    def __init__(self, x: Tensor, tokens: Tensor, logits: Tensor, finished: Tensor):
        self.x, self.tokens, self.finished = x, tokens, finished
        self.log_probs = logits.double().log_softmax(dim=1)

    @property
    def states(self) -> Tensor:
        size, number = self.log_probs.shape
        rows = torch.arange(size, device=self.x.device).repeat_interleave(number)
        made = stepped(self.x[rows], self.finished[rows], self.tokens.repeat(size))
        return made.unflatten(0, (size, number))

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return stepped(self.x, self.finished, self.tokens[categorical(self.log_probs.exp(), generator)])

    def log_prob(self, x_next: Tensor) -> Tensor:
        places, reached = self._places(x_next)
        moved = self.log_probs.gather(1, places[:, None])[:, 0]
        return torch.where(reached, torch.where(self.finished, 0.0, moved), -math.inf)

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        if len(self.tokens) > limit:
            raise ValueError(f"outcomes: {len(self.tokens)} next states, the limit is {limit}")
        return self.states, self.log_probs

    def listed(self, limit: int) -> "ListedTokens":
        return self

    def reweighted(self, logits: Tensor) -> "ListedTokens":
        return ListedTokens(self.x, self.tokens, logits, self.finished)

    def places_of(self, x: Tensor) -> Tensor:
        possible = (self.log_probs > -math.inf).long().argmax(dim=1)
        return torch.where(self.finished, possible, self._places(x)[0])

    def __getitem__(self, index: Any) -> "ListedTokens":
        x, finished, log_probs = (take(each, index) for each in (self.x, self.finished, self.log_probs))
        return ListedTokens(x, self.tokens, log_probs, finished)

    @classmethod
    def cat(cls, parts: Sequence[ListedTransition]) -> "ListedTokens":
        """Of parts that list other tokens each, all of their tokens."""
        parts = cast(Sequence[ListedTokens], parts)
        tokens = torch.cat([part.tokens for part in parts]).unique()
        logits = []
        for part in parts:
            spread = part.log_probs.new_full((len(part.log_probs), len(tokens)), -math.inf)
            logits.append(spread.index_copy(1, torch.searchsorted(tokens, part.tokens), part.log_probs))
        x, finished = (concatenate([getattr(part, name) for part in parts]) for name in ("x", "finished"))
        return cls(x, tokens, torch.cat(logits), finished)

    def _places(self, x_next: Tensor) -> tuple[Tensor, Tensor]:
        """Where the token that x_next has in the place of this step is listed, (B,), and whether it can be reached."""
        columns = self.x[:, -1:].clamp(max=self.x.shape[1] - 2)
        written = x_next.gather(1, columns)[:, 0]
        places = torch.searchsorted(self.tokens, written).clamp(max=len(self.tokens) - 1)
        known = self.finished | (self.tokens[places] == written)
        same = (x_next == stepped(self.x, self.finished, self.tokens[places])).all(dim=1)
        return places, known & same


def stepped(x: Tensor, finished: Tensor, tokens: Tensor) -> Tensor:
    """Each text (B, L + 1) with its token (B,) more; a finished one as it is."""
    moving = ~finished
    x_next = x.clone()
    x_next[moving] = append(x[moving], tokens[moving])
    return x_next
