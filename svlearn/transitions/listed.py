"""The law over few next states that are listed."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.randomness import categorical
from svlearn.state import State, concatenate
from svlearn.transitions.transition import Transition, kind_of


class ListedTransition(Transition):
    """A law over few next states that are listed: states (B, N, ...) with logits (B, N), unnormalised, nats.

    A state that is listed twice has the sum of its probabilities.
    A subclass need not hold the states: it makes `states` when it is asked for them.
    """

    states: State
    log_probs: Tensor  # (B, N), float64

    def __init__(self, states: State, logits: Tensor):
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise TypeError(f"logits: expected a float tensor (B, N), got {kind_of(logits)}")
        if logits.dim() != 2 or tuple(states.shape[:2]) != tuple(logits.shape):
            shapes = f"{tuple(states.shape[:2])} and {tuple(logits.shape)}"
            raise ValueError(f"logits: expected (B, N) with states (B, N, ...), got {shapes}")
        self.states, self.log_probs = states, logits.double().log_softmax(dim=1)

    def sample(self, *, generator: torch.Generator | None = None) -> State:
        chosen = categorical(self.log_probs.exp(), generator)
        return self.states[torch.arange(len(chosen), device=chosen.device), chosen]

    def log_prob(self, x_next: State) -> Tensor:
        equal = self._equal(self.states, x_next)
        return torch.where(equal, self.log_probs, -math.inf).logsumexp(dim=1)

    def outcomes(self, limit: int) -> tuple[State, Tensor]:
        number = self.log_probs.shape[1]
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        return self.states, self.log_probs

    def listed(self, limit: int) -> "ListedTransition":
        self.outcomes(limit)
        return self

    def reweighted(self, logits: Tensor) -> "ListedTransition":
        """A law over the same states by other logits (B, N), unnormalised, nats."""
        return ListedTransition(self.states, logits)

    def places_of(self, x: State) -> Tensor:
        """Where possible states (B, ...) are listed, (B,): the first place that has a probability."""
        return (self._equal(self.states, x) & (self.log_probs > -math.inf)).long().argmax(dim=1)

    def __getitem__(self, index: Any) -> "ListedTransition":
        return ListedTransition(self.states[index], self.log_probs[index])

    @classmethod
    def cat(cls, parts: Sequence["ListedTransition"]) -> "ListedTransition":
        return cls(concatenate([part.states for part in parts]), torch.cat([part.log_probs for part in parts]))

    @staticmethod
    def _equal(states: State, x: State) -> Tensor:
        """Which of the states (B, N, ...) are x (B, ...), (B, N)."""
        if isinstance(states, Tensor):
            same = states == x.unsqueeze(1)
            return same if same.dim() == 2 else same.flatten(2).all(dim=2)
        leaves = states.flatten_keys().items()
        named = cast(TensorDict, x).flatten_keys()
        return torch.stack([ListedTransition._equal(leaf, named[name]) for name, leaf in leaves]).all(dim=0)
