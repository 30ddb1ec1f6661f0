"""Exploration noise: a policy that at each step, now and then, moves as the reference would."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, call, has, predict
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
        options = {} if condition is None else {"condition": condition}
        return self.policy.initial(batch_size, generator=generator, **options)

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        of_reference, of_policy = (None, None) if previous is None or previous.cache is None else previous.cache
        prediction = predict(self.policy.reference, x, t, _with_cache(previous, of_reference))
        if self.policy.corrects:
            own = Prediction(self.policy.steer(prediction, x, t))
        else:
            own = call(self.policy, x, t, _with_cache(previous, of_policy))
            own = replace(own, transition=self.policy.law_of(own, prediction))
        cached = prediction.cache is not None or own.cache is not None
        law = MixtureTransition([own.transition, prediction.transition], [1.0 - self.share, self.share])
        cache = (prediction.cache, own.cache) if cached else None
        return replace(prediction, transition=law, cache=cache, evaluations=own.evaluations)

    def finished(self, x: State) -> Tensor:
        return self.policy.finished(x)

    def defines(self, method: str) -> bool:
        return has(self.policy, method) if method == "finished" else super().defines(method)


def _with_cache(previous: Prediction | None, cache: Any) -> Prediction | None:
    return None if previous is None or cache is None else replace(previous, cache=cache)
