"""The selection of beam search: the best by value, and of equal states one."""

import math
from typing import Any

import torch
from torch import Tensor

from svlearn.inference.selection import Candidates, Selection, Survivors
from svlearn.state import State


class Beam(Selection):
    """The K candidates of the largest value in a group, the best first, the first drawn on ties.

    Copies of a discrete state come after all distinct ones: a beam that is full of one state looks at one place.
    """

    def __call__(self, candidates: Candidates, noise: Tensor) -> Survivors:
        ordered = candidates.values.flatten(1).argsort(dim=1, descending=True, stable=True)
        kinds = _kinds(candidates.x)
        if kinds is not None:
            copies = _repeats(kinds.view(len(ordered), -1).gather(1, ordered))
            ordered = ordered.gather(1, copies.argsort(dim=1, stable=True))
        log_weights = candidates.log_weights
        if candidates.final:  # whoever draws one of the group draws the best
            log_weights = torch.full_like(log_weights, -math.inf)
            log_weights[:, 0] = 0.0
        return Survivors(ordered[:, : candidates.shape[1]], log_weights)


def _kinds(x: State | None) -> Tensor | None:
    """A number (N,) for each distinct state of (N, ...); None where a part of it is continuous."""
    if x is None:
        return None
    leaves: list[Any] = [x] if isinstance(x, Tensor) else list(x.values(include_nested=True, leaves_only=True))
    if any(leaf.is_floating_point() for leaf in leaves):
        return None
    rows = torch.cat([leaf.reshape(len(leaf), -1).long() for leaf in leaves], dim=1)
    return torch.unique(rows, dim=0, return_inverse=True)[1]


def _repeats(kinds: Tensor) -> Tensor:
    """1 where the same number stands before in its row, else 0, (B, N), long."""
    ordered, places = kinds.sort(dim=1, stable=True)
    same = torch.zeros_like(kinds)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(kinds).scatter(1, places, same)
