"""A listed law of one leaf of a state; all other leaves are what the sample is conditioned on, and stay."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import State, concatenate, flattened, take
from svlearn.transitions.coordinates import Name
from svlearn.transitions.listed import ListedTransition


class ListedLeaf(ListedTransition):
    """A listed law of one leaf of TensorDicts, whose other leaves, the conditions (B,), stay.

    The states (B, N) are made when they are asked for.
    """

    def __init__(self, name: Name, law: ListedTransition, conditions: TensorDict | None):
        self.name, self.law, self.conditions = name, law, conditions
        self.log_probs = law.log_probs

    @property
    def states(self) -> TensorDict:
        size, number = self.log_probs.shape
        rows = torch.arange(size, device=self.log_probs.device).repeat_interleave(number)
        others = take(self.conditions, rows)
        return joined(
            {self.name: self.law.states},
            None if others is None else others.unflatten(0, (size, number)),
            (size, number),
        )

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        return joined({self.name: self.law.sample(generator=generator)}, self.conditions)

    def log_prob(self, x_next: TensorDict) -> Tensor:
        reached = reaches(self.conditions, x_next, self.name)
        return torch.where(reached, self.law.log_prob(x_next[self.name]), -math.inf)

    def outcomes(self, limit: int) -> tuple[TensorDict, Tensor]:
        self.law.outcomes(limit)
        return self.states, self.log_probs

    def listed(self, limit: int) -> "ListedLeaf":
        return ListedLeaf(self.name, self.law.listed(limit), self.conditions)

    def reweighted(self, logits: Tensor) -> "ListedLeaf":
        return ListedLeaf(self.name, self.law.reweighted(logits), self.conditions)

    def places_of(self, x: TensorDict) -> Tensor:
        return self.law.places_of(x[self.name])

    def __getitem__(self, index: Any) -> "ListedLeaf":
        return ListedLeaf(self.name, self.law[index], take(self.conditions, index))

    @classmethod
    def cat(cls, parts: Sequence[ListedTransition]) -> "ListedLeaf":
        parts = cast(Sequence[ListedLeaf], parts)
        law = concatenate([part.law for part in parts])
        return cls(parts[0].name, law, concatenate([part.conditions for part in parts]))


def joined(
    leaves: Mapping[Name, State], others: TensorDict | None, batch_size: Sequence[int] | None = None
) -> TensorDict:
    """A state of these leaves, and of the others as they are, which share their memory."""
    first = next(iter(leaves.values()))
    size = [first.shape[0]] if batch_size is None else list(batch_size)
    state = TensorDict({}, batch_size=size, device=first.device) if others is None else others.copy()
    for name, leaf in leaves.items():
        state[name] = leaf
    return state


def reaches(conditions: TensorDict | None, x_next: TensorDict, name: Name) -> Tensor:
    """Whether the conditions of x_next are those of x_t, (B,); name: of a leaf that has a law."""
    if conditions is None or conditions.is_empty():
        return torch.ones(x_next.shape[0], dtype=torch.bool, device=x_next[name].device)
    leaves = conditions.items(include_nested=True, leaves_only=True)
    return torch.stack([flattened(leaf == x_next[name]).all(dim=1) for name, leaf in leaves]).all(dim=0)
