"""The law of the next token of a growing text: padded buffers with their position, and an end that absorbs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.randomness import multinomial
from svlearn.state import concatenate, take
from svlearn.transitions.transition import Transition, kind_of, widened


def append(x: Tensor, tokens: Tensor) -> Tensor:
    """Texts (B, L + 1), the last column the position, with one more token (B,) each."""
    x_next = x.clone()
    x_next.scatter_(1, x[:, -1:], tokens[:, None])
    x_next[:, -1] = x[:, -1] + 1
    return x_next


def ended(x: Tensor, end: int | None = None) -> Tensor:
    """Which texts (B, L + 1) are finished, (B,) bool: those whose buffer is full or whose last token is `end`."""
    full = x[:, -1] == x.shape[1] - 1
    if end is None:
        return full
    last = x.gather(1, (x[:, -1:] - 1).clamp(min=0))[:, 0]
    return full | ((last == end) & (x[:, -1] > 0))


class AppendingTransition(Transition):
    """Append one token to each text; a finished one steps to itself with log-probability 0.

        log p(x_{t+1} | x_t) = log softmax(logits)[token], where x_{t+1} is x_t with that token written at its position

    and -inf for all else. x (B, L + 1), long: a buffer of L tokens, padded with anything, then the position, the number
    of those written. logits (B, V), unnormalised, -inf for what cannot follow, normalised in float32 at least. A text
    is finished where its buffer is full or its last token is `end`, which counts as written; or where finished (B,)
    bool says so, as for a prompt that holds the end. Write a prompt into the buffer, or hold it as another leaf, in a
    `FieldTransition` of this law.
    Raises TypeError for logits that are no floats, ValueError for other shapes and both of end and finished.
    """

    def __init__(self, x: Tensor, logits: Tensor, *, end: int | None = None, finished: Tensor | None = None):
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise TypeError(f"logits: expected a float tensor (B, V), got {kind_of(logits)}")
        if x.dim() != 2 or logits.dim() != 2 or len(x) != len(logits):
            shapes = f"{tuple(x.shape)} and {tuple(logits.shape)}"
            raise ValueError(f"logits: expected (B, V) with texts x (B, L + 1), got {shapes}")
        if end is not None and finished is not None:
            raise ValueError("end, finished: expected one of them at most, got both")
        if finished is None:
            finished = ended(x, None if end is None else integer(end, "end", 0, optional=True))
        if finished.shape != x.shape[:1]:
            raise ValueError(f"finished: expected shape ({len(x)},), got {tuple(finished.shape)}")
        self.x, self.finished = x, finished
        self.log_probs = widened(logits).log_softmax(dim=1)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        tokens = multinomial(self.log_probs.exp(), 1, generator)[:, 0]
        return self._step(tokens)

    def log_prob(self, x_next: Tensor) -> Tensor:
        """-inf where x_next is no continuation by one token, or another text than a finished one."""
        written, reached = self._written(x_next)
        moved = self.log_probs.gather(1, written[:, None])[:, 0].double()
        return torch.where(reached, torch.where(self.finished, 0.0, moved), -math.inf)

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        """One per token that some row can take; a finished row has itself once, and then again with -inf."""
        unfinished = self.log_probs[~self.finished]
        tokens = (unfinished > -math.inf).any(dim=0).nonzero().flatten()
        if len(tokens) > limit:
            raise ValueError(f"outcomes: {len(tokens)} next states, the limit is {limit}")
        if not len(tokens):
            return self.x[:, None], torch.zeros(len(self.x), 1, dtype=torch.float64, device=self.x.device)
        states = torch.stack([self._step(token.expand(len(self.x))) for token in tokens], dim=1)
        itself = torch.full_like(self.log_probs[:, tokens], -math.inf)
        itself[:, 0] = 0.0
        return states, torch.where(self.finished[:, None], itself, self.log_probs[:, tokens]).double()

    def tilt(self, gradient: Tensor) -> "AppendingTransition":
        """logits + gradient (B, V), taken in the one-hot of the next token; a finished text stays."""
        return AppendingTransition(self.x, self.log_probs + gradient, finished=self.finished)

    def __getitem__(self, index: Any) -> "AppendingTransition":
        return self._of(take(self.x, index), take(self.log_probs, index), take(self.finished, index))

    @classmethod
    def cat(cls, parts: Sequence["AppendingTransition"]) -> "AppendingTransition":
        return cls._of(
            *(concatenate([getattr(part, name) for part in parts]) for name in ("x", "log_probs", "finished"))
        )

    @classmethod
    def _of(cls, x: Tensor, log_probs: Tensor, finished: Tensor) -> "AppendingTransition":
        law = cls.__new__(cls)
        law.x, law.log_probs, law.finished = x, log_probs, finished
        return law

    def _step(self, tokens: Tensor) -> Tensor:
        moving = ~self.finished
        x_next = self.x.clone()
        x_next[moving] = append(self.x[moving], tokens[moving])
        return x_next

    def _written(self, x_next: Tensor) -> tuple[Tensor, Tensor]:
        """The token that x_next has where this step writes (B,), and whether it can be reached (B,)."""
        places = self.x[:, -1:].clamp(max=self.x.shape[1] - 2)
        written = x_next.gather(1, places)[:, 0]
        legal = (written >= 0) & (written < self.log_probs.shape[1])
        written = torch.where(legal, written, 0)
        reached = (x_next == self._step(written)).all(dim=1)
        return written, reached
