"""The law of the next token of a growing text: padded buffers with their position, and an end that absorbs."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.randomness import categorical
from svlearn.state import concatenate, take
from svlearn.transitions.listed_tokens import ListedTokens, stepped
from svlearn.transitions.relaxed import categorical_kl
from svlearn.transitions.transition import Transition, kind_of, widened

AT_ONCE = 4_000_000  # probabilities that a draw lays side by side, or those of the table where these are more


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
    The table of the rows' laws is not copied where more rows are taken of it than it has, as for M candidates of each:
    those are places in it. A draw of M of each needs the memory of one of each.
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
        self.table, self.rows = widened(logits).log_softmax(dim=1), None

    table: Tensor  # (R, V)
    rows: Tensor | None  # (B,), where each text has its law in the table; None: in its own row

    @property
    def log_probs(self) -> Tensor:
        """log p(token), (B, V); copied from the table where the rows are places in it."""
        return self.table if self.rows is None else self.table[self.rows]

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return self._step(_tokens(self.table.exp(), self.rows, generator))

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        rows = parents if self.rows is None else self.rows[parents]
        tokens = _tokens(self.table.exp(), rows, generator)
        return stepped(self.x[parents], self.finished[parents], tokens)

    def log_prob(self, x_next: Tensor) -> Tensor:
        """-inf where x_next is no continuation by one token, or another text than a finished one."""
        written, reached = self._written(x_next)
        if self.rows is None:
            moved = self.table.gather(1, written[:, None])[:, 0].double()
        else:
            moved = self.table[self.rows, written].double()
        return torch.where(reached, torch.where(self.finished, 0.0, moved), -math.inf)

    def kl(self, other: Transition) -> Tensor:
        """That of the next token; 0 of a finished text; infinite where the two are of different texts, or only one is
        finished. Raises TypeError for a law of another kind, or of another number of tokens."""
        if not isinstance(other, AppendingTransition) or self.table.shape[1] != other.table.shape[1]:
            return super().kl(other)
        tokens = categorical_kl(self.log_probs.double(), other.log_probs.double())
        same = (self.x == other.x).all(dim=1) & (self.finished == other.finished)
        return torch.where(same, torch.where(self.finished, 0.0, tokens), math.inf)

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        """One per token that some row can take; a finished row has itself once, and then again with -inf."""
        listed = self.listed(limit)
        if len(listed.tokens) > limit:
            raise ValueError(f"outcomes: {len(listed.tokens)} next states, the limit is {limit}")
        return listed.states, listed.log_probs

    def listed(self, limit: int) -> "ListedTokens":
        log_probs = self.log_probs
        tokens = (log_probs[~self.finished] > -math.inf).any(dim=0).nonzero().flatten()
        tokens = tokens if len(tokens) else tokens.new_zeros(1)  # of finished texts alone
        itself = torch.full_like(log_probs[:, tokens], -math.inf)
        itself[:, 0] = 0.0
        kept = torch.where(self.finished[:, None], itself, log_probs[:, tokens])
        return ListedTokens(self.x, tokens, kept, self.finished)

    def tilt(self, gradient: Tensor) -> "AppendingTransition":
        """logits + gradient (B, V), taken in the one-hot of the next token; a finished text stays."""
        return AppendingTransition(self.x, self.log_probs + gradient, finished=self.finished)

    def __getitem__(self, index: Any) -> "AppendingTransition":
        x, finished = take(self.x, index), take(self.finished, index)
        if self.rows is None and len(x) <= len(self.table):  # what is left of the table may go
            return self._of(x, take(self.table, index), finished)
        rows = torch.arange(len(self.x), device=self.x.device) if self.rows is None else self.rows
        rows = take(rows, index)
        if len(rows) <= len(self.table):
            return self._of(x, self.table[rows], finished)
        return self._of(x, self.table, finished, rows)

    @classmethod
    def cat(cls, parts: Sequence["AppendingTransition"]) -> "AppendingTransition":
        x, finished = (concatenate([getattr(part, name) for part in parts]) for name in ("x", "finished"))
        return cls._of(x, concatenate([part.log_probs for part in parts]), finished)

    @classmethod
    def _of(cls, x: Tensor, table: Tensor, finished: Tensor, rows: Tensor | None = None) -> "AppendingTransition":
        law = cls.__new__(cls)
        law.x, law.table, law.finished, law.rows = x, table, finished, rows
        return law

    def _step(self, tokens: Tensor) -> Tensor:
        return stepped(self.x, self.finished, tokens)

    def _written(self, x_next: Tensor) -> tuple[Tensor, Tensor]:
        """The token that x_next has where this step writes (B,), and whether it can be reached (B,)."""
        places = self.x[:, -1:].clamp(max=self.x.shape[1] - 2)
        written = x_next.gather(1, places)[:, 0]
        legal = (written >= 0) & (written < self.table.shape[1])
        written = torch.where(legal, written, 0)
        reached = (x_next == self._step(written)).all(dim=1)
        return written, reached


def _tokens(probs: Tensor, rows: Tensor | None, generator: torch.Generator | None) -> Tensor:
    """A token (N,) by the probabilities (R, V) of each of these rows (N,), None: one by each; of as many rows at once
    as have `AT_ONCE` numbers, and of R at least."""
    if rows is None:
        return categorical(probs, generator)
    most = max(len(probs), AT_ONCE // probs.shape[1])
    return torch.cat([categorical(probs[each], generator) for each in rows.split(most)])
