"""A law for each of some leaves of a state; all other leaves are what the sample is conditioned on, and stay."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import concatenate, take
from svlearn.transitions.coordinates import LeafCoordinates, Name
from svlearn.transitions.gaussian import GaussianTransition, coordinates_of, gaussian_of
from svlearn.transitions.listed import ListedTransition
from svlearn.transitions.listed_leaf import ListedLeaf, joined, reaches
from svlearn.transitions.transition import Transition


class FieldTransition(Transition):
    """p(x_{t+1} | x_t) = Π_leaf p_leaf(x_{t+1}[leaf] | x_t): independent laws over the named leaves of TensorDicts.

    laws: {leaf: Transition}, each over B rows; a nested leaf is named by a tuple. x: the states x_t (B,), whose other
    leaves (a prompt, a class, fixed places) are copied; None where the state has the named leaves alone.
    A state with other conditions than x has probability 0. A gradient tilts the laws of the leaves that it has; a leaf
    whose law cannot be tilted moves as it would. Raises TypeError for what is no law, ValueError for none, and for laws
    of different batches.
    """

    def __init__(self, laws: Mapping[Any, Transition], x: TensorDict | None = None):
        if not laws:
            raise ValueError("laws: expected a Transition for at least one leaf, got none")
        for name, law in laws.items():
            if not isinstance(law, Transition):
                raise TypeError(f"laws[{name!r}]: expected a Transition, got {type(law).__name__}")
        if x is not None and not isinstance(x, TensorDict):
            raise TypeError(f"x: expected the TensorDict that the laws are given, or None, got {type(x).__name__}")
        self.laws, self.conditions = dict(laws), None if x is None else x.exclude(*laws)

    @property
    def coordinates(self) -> LeafCoordinates:
        """Those of the named leaves, one after the other."""
        return LeafCoordinates({name: coordinates_of(law) for name, law in self.laws.items()})

    @property
    def law(self) -> GaussianTransition | None:
        """The Gaussian over the coordinates, (B, D), where the law of every named leaf is one; else None."""
        parts = [gaussian_of(law) for law in self.laws.values()]
        gaussians = [each for each in parts if each is not None]
        return GaussianTransition.joined(gaussians) if len(gaussians) == len(parts) else None

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        """The laws draw one after the other, in the order of `laws`."""
        return joined({name: law.sample(generator=generator) for name, law in self.laws.items()}, self.conditions)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> TensorDict:
        drawn = {name: law.sample_each(parents, generator=generator) for name, law in self.laws.items()}
        return joined(drawn, take(self.conditions, parents))

    def log_prob(self, x_next: TensorDict) -> Tensor:
        total = sum(law.log_prob(x_next[name]) for name, law in self.laws.items())
        return torch.where(self._reaches(x_next), total, -math.inf)

    def log_ratio(self, other: Transition, x_next: TensorDict) -> Tensor:
        """Leaf by leaf, so that what cancels in a leaf does; -inf where self cannot reach x_next."""
        if not isinstance(other, FieldTransition) or other.laws.keys() != self.laws.keys():
            return super().log_ratio(other, x_next)
        ratios = [law.log_ratio(other.laws[name], x_next[name]) for name, law in self.laws.items()]
        reaches = self._reaches(x_next)
        impossible = torch.stack([ratio == -math.inf for ratio in ratios]).any(dim=0) | ~reaches
        also = reaches if other.conditions is self.conditions else other._reaches(x_next)
        total = torch.where(also, torch.stack(ratios).sum(dim=0), math.inf)
        return torch.where(impossible, -math.inf, total)

    def kl(self, other: Transition) -> Tensor:
        """The sum of those of the leaves; infinite where the two have different conditions. Raises TypeError for a law
        of another kind or of other leaves, and where that of a leaf does."""
        if not isinstance(other, FieldTransition) or other.laws.keys() != self.laws.keys():
            return super().kl(other)
        divergence = torch.stack([law.kl(other.laws[name]) for name, law in self.laws.items()]).sum(dim=0)
        own, theirs = self.conditions, other.conditions
        if own is theirs or own is None or theirs is None or own.is_empty() or theirs.is_empty():
            return divergence
        return torch.where(reaches(own, theirs, next(iter(self.laws))), divergence, math.inf)

    def outcomes(self, limit: int) -> tuple[TensorDict, Tensor]:
        """The product of what each leaf can become."""
        listed = {name: law.outcomes(limit) for name, law in self.laws.items()}
        sizes = [log_probs.shape[1] for _, log_probs in listed.values()]
        number = math.prod(sizes)
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        log_probs = next(iter(listed.values()))[1]
        device = log_probs.device
        chosen = torch.tensor(list(itertools.product(*map(range, sizes))), device=device).unbind(dim=1)
        states = {name: of[:, index] for (name, (of, _)), index in zip(listed.items(), chosen, strict=True)}
        total = torch.stack([each[:, index] for (_, each), index in zip(listed.values(), chosen, strict=True)]).sum(0)
        rows = torch.arange(len(log_probs), device=device).repeat_interleave(number)
        conditions = take(self.conditions, rows)
        copies = None if conditions is None else conditions.unflatten(0, (len(log_probs), number))
        return joined(states, copies, (len(log_probs), number)), total

    def listed(self, limit: int) -> ListedTransition:
        if len(self.laws) > 1:
            return super().listed(limit)
        ((name, law),) = self.laws.items()
        return ListedLeaf(name, law.listed(limit), self.conditions)

    def tilt(self, gradient: TensorDict) -> "FieldTransition":
        """Each law by the gradient in its leaf."""
        has = set(gradient.keys(include_nested=True))
        tilted = {name: law.tilt(gradient[name]) if name in has else law for name, law in self.laws.items()}
        return self._of(tilted, self.conditions)

    def with_diracs_of(self, other: Transition) -> Transition:
        """Leaf by leaf."""
        if not isinstance(other, FieldTransition) or other.laws.keys() != self.laws.keys():
            return self
        laws = {name: law.with_diracs_of(other.laws[name]) for name, law in self.laws.items()}
        same = all(laws[name] is law for name, law in self.laws.items())
        return self if same else self._of(laws, self.conditions)

    def expansion_point(self, x: TensorDict) -> TensorDict:
        """x_t with the expansion points of the laws that can be tilted in their leaves; TypeError where none can."""
        points = {name: law.expansion_point(x[name]) for name, law in self.laws.items() if can_be_tilted(law)}
        if not points:
            kinds = ", ".join(sorted({type(law).__name__ for law in self.laws.values()}))
            raise TypeError(f"expansion_point: no leaf can be tilted by a gradient: {kinds}")
        return joined(points, x)

    def __getitem__(self, index: Any) -> "FieldTransition":
        return self._of({name: law[index] for name, law in self.laws.items()}, take(self.conditions, index))

    @classmethod
    def cat(cls, parts: Sequence["FieldTransition"]) -> "FieldTransition":
        laws = {name: concatenate([part.laws[name] for part in parts]) for name in parts[0].laws}
        return cls._of(laws, concatenate([part.conditions for part in parts]))

    @classmethod
    def _of(cls, laws: dict[Name, Transition], conditions: TensorDict | None) -> "FieldTransition":
        law = cls.__new__(cls)
        law.laws, law.conditions = laws, conditions
        return law

    def _reaches(self, x_next: TensorDict) -> Tensor:
        return reaches(self.conditions, x_next, next(iter(self.laws)))


def described(law: Transition) -> str:
    """How an error names a law that is not Gaussian: by its class, and of which leaves."""
    if not isinstance(law, FieldTransition):
        return type(law).__name__
    others = [f"{described(each)} in {name!r}" for name, each in law.laws.items() if gaussian_of(each) is None]
    return f"FieldTransition with {', '.join(others)}"


def can_be_tilted(law: Transition) -> bool:
    """Whether a law defines `tilt`."""
    return type(law).tilt is not Transition.tilt
