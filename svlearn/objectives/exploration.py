"""Exploration noise: a policy that at each step, now and then, moves as the reference would."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import rand
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.transitions import Transition


class Blend(Transition):
    """(1 - share) own + share other, drawn for each row alone: two laws of the same states, 0 < share < 1."""

    def __init__(self, own: Transition, other: Transition, share: float):
        self.own, self.other, self.share = own, other, share

    def sample(self, *, generator: torch.Generator | None = None) -> State:
        own, other = self.own.sample(generator=generator), self.other.sample(generator=generator)
        size, device = len(own), device_of_state(own)
        strays = rand((size,), generator, device) < self.share
        return take(concatenate([own, other]), torch.arange(size, device=device) + size * strays)

    def log_prob(self, x_next: State) -> Tensor:
        own, other = self.own.log_prob(x_next), self.other.log_prob(x_next)
        return torch.logaddexp(own + math.log1p(-self.share), other + math.log(self.share))

    def __getitem__(self, index: Any) -> "Blend":
        return Blend(self.own[index], self.other[index], self.share)

    @classmethod
    def cat(cls, parts: Sequence["Blend"]) -> "Blend":
        own, other = concatenate([part.own for part in parts]), concatenate([part.other for part in parts])
        return cls(own, other, parts[0].share)


class EpsilonMixture(Reference):
    """A policy of which each move is, with probability `share`, one of its reference in its place.

    So every move of p_ref is met, from states that the policy has led to: the reference's own trajectories never see
    those. One call of the reference and one of the policy a state.
    """

    def __init__(self, policy: Policy, share: float):
        super().__init__()
        self.policy, self.share, self.num_steps = policy, share, policy.num_steps

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> State:
        given = {} if condition is None else {"condition": condition}
        return self.policy.initial(batch_size, generator=generator, **given)

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        prediction = predict(self.policy.reference, x, t, previous)
        own = self.policy.steer(prediction, x, t)
        return replace(prediction, transition=Blend(own, prediction.transition, self.share))
