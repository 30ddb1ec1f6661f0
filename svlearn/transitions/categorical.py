"""The law of independent tokens, each by its own probabilities."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.randomness import categorical, inverted, uniform
from svlearn.state import State, concatenate, take
from svlearn.transitions.relaxed import categorical_kl, gumbel_softmax
from svlearn.transitions.transition import Transition, kind_of, total, widened

SHORT = 16  # numbers of float32 in a register


def log_normalized(logits: Tensor) -> Tensor:
    """The log-softmax of logits (..., L, V) over V, in float32 at least.

    Along a short last dimension the CPU's kernel goes number by number: it is moved out of the way, which is faster.
    """
    logits = widened(logits)
    if logits.shape[-1] >= SHORT or logits.device.type != "cpu":
        return logits.log_softmax(dim=-1)
    return logits.transpose(-1, -2).contiguous().log_softmax(dim=-2).transpose(-1, -2).contiguous()


class CategoricalTransition(Transition):
    """Independent draws at each of L places: logits (B, L, V), unnormalised, over states (B, L) of token ids.

    The law is normalised in float32 at least, whatever the logits are in. Raises TypeError for logits that are no
    floats, ValueError for another shape.
    """

    def __init__(self, logits: Tensor):
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise TypeError(f"logits: expected a float tensor (B, L, V), got {kind_of(logits)}")
        if logits.dim() != 3:
            raise ValueError(f"logits: expected shape (B, L, V), got {tuple(logits.shape)}")
        self.log_probs = log_normalized(logits)

    @property
    def logits(self) -> Tensor:
        """Normalised logits (B, L, V)."""
        return self.log_probs

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return categorical(self.log_probs.exp(), generator)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        batch_size, length, _ = self.log_probs.shape
        points = uniform((len(parents), length), generator, self.log_probs.device).view(batch_size, -1, length)
        drawn = inverted(self.log_probs.exp(), points.transpose(1, 2).contiguous())
        return drawn.transpose(1, 2).reshape(len(parents), length)

    def log_prob(self, x_next: Tensor) -> Tensor:
        return total(self._of_tokens(x_next))

    def log_ratio(self, other: Transition, x_next: Tensor) -> Tensor:
        """Summed place by place, so that equal places cancel exactly."""
        if not isinstance(other, CategoricalTransition):
            return super().log_ratio(other, x_next)
        own = self._of_tokens(x_next)
        return total(torch.where(own == -math.inf, own, own - other._of_tokens(x_next)))

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        """The product over places of the tokens that some row of the batch can take."""
        possible = [place.nonzero().flatten().tolist() for place in (self.log_probs > -math.inf).any(dim=0)]
        number = math.prod(len(tokens) for tokens in possible)
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        states = torch.tensor(list(itertools.product(*possible)), device=self.log_probs.device)
        log_probs = torch.stack([self.log_prob(row.expand(len(self.log_probs), -1)) for row in states], dim=1)
        return states.expand(len(self.log_probs), -1, -1), log_probs

    def tilt(self, gradient: Tensor) -> "CategoricalTransition":
        """logits + gradient, the gradient (B, L, V) taken in the one-hot of x_next (arXiv 2406.01572)."""
        return CategoricalTransition(self.log_probs + gradient)

    def expansion_point(self, x: State) -> Tensor:
        """The one-hot of x_t, (B, L, V): a step changes few places."""
        return nn.functional.one_hot(x, self.log_probs.shape[-1]).to(self.log_probs.dtype)

    def kl(self, other: Transition) -> Tensor:
        if not isinstance(other, CategoricalTransition):
            return super().kl(other)
        return total(categorical_kl(self.log_probs, other.log_probs))

    def rsample_relaxed(self, x: State, temperature: float, *, generator: torch.Generator | None = None) -> Tensor:
        """Gumbel-softmax at every place, (B, L, V); x_t enters by the law alone."""
        return gumbel_softmax(self.log_probs, temperature, generator)

    def __getitem__(self, index: Any) -> "CategoricalTransition":
        return self._of(take(self.log_probs, index))

    @classmethod
    def cat(cls, parts: Sequence["CategoricalTransition"]) -> "CategoricalTransition":
        return cls._of(concatenate([p.log_probs for p in parts]))

    @classmethod
    def _of(cls, log_probs: Tensor) -> "CategoricalTransition":
        law = cls.__new__(cls)
        law.log_probs = log_probs
        return law

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        return self.log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
