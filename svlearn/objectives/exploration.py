"""Exploration noise: a policy that at each step, now and then, moves as the reference would."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State
from svlearn.transitions import MixtureTransition


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
        shares = [1.0 - self.share, self.share]
        return replace(prediction, transition=MixtureTransition([own, prediction.transition], shares))
