"""The law of the next token of a growing text: padded buffers with their position."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.randomness import multinomial
from svlearn.state import concatenate
from svlearn.transitions import Transition, widened


def append(x: Tensor, tokens: Tensor) -> Tensor:
    """Texts (B, L + 1), the last column the position, with one more token (B,) each."""
    x_next = x.clone()
    x_next.scatter_(1, x[:, -1:], tokens[:, None])
    x_next[:, -1] = x[:, -1] + 1
    return x_next


class TokenTransition(Transition):
    """Append one token to each unfinished text; a finished one steps to itself with log-probability 0.

    x (B, L + 1), long: L tokens, then the position, the number of those written; logits (B, V), unnormalised; finished
    (B,) bool.
    """

    def __init__(self, x: Tensor, logits: Tensor, finished: Tensor):
        if x.dim() != 2 or logits.dim() != 2 or not len(x) == len(logits) == len(finished):
            shapes = ", ".join(str(tuple(part.shape)) for part in (x, logits, finished))
            raise ValueError(f"logits: expected x (B, L + 1), logits (B, V) and finished (B,), got {shapes}")
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

    def tilt(self, gradient: Tensor) -> "TokenTransition":
        """logits + gradient (B, V), taken in the one-hot of the next token; a finished text stays."""
        return TokenTransition(self.x, self.log_probs + gradient, self.finished)

    def __getitem__(self, index: Any) -> "TokenTransition":
        return TokenTransition(self.x[index], self.log_probs[index], self.finished[index])

    @classmethod
    def cat(cls, parts: Sequence["TokenTransition"]) -> "TokenTransition":
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("x", "log_probs", "finished")))

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
