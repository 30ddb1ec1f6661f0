"""Proposals: what draws x_{t+1}. Weights correct for any that covers p_ref exp(v_{t+1}/α)."""

from abc import ABC, abstractmethod

from svlearn import policies
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, concatenate, device_of_state, times
from svlearn.targets import Target
from svlearn.transitions import Transition


class Proposal(ABC):
    """q(x_{t+1} | x_t), from the kept states and the reference's prediction for them. A subclass writes `transition`.

    looks: whether it has its own way to call the reference for the kept states, `look`.
    """

    looks: bool = False

    def bind(self, reference: Reference, target: Target | None) -> "Proposal":
        """The proposal as a sampler uses it; raises ValueError where it cannot serve this reference and target."""
        return self

    def look(self, reference: Reference, x: State, t: int, previous: Prediction | None) -> Prediction:
        """The prediction for kept states (N, ...) at t."""
        return predict(reference, x, t, previous)

    @abstractmethod
    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        """The law of x_{t+1} for every kept state (N, ...)."""


class FromReference(Proposal):
    """q = p_ref: no correction is due."""

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        return prediction.transition


class Policy(Proposal):
    """q is a policy, a process with the reference's initial law; one policy call per kept state.

    A `policies.Policy` that corrects the reference reuses its prediction; any other process is called anew.
    """

    def __init__(self, policy: Reference):
        if not isinstance(policy, Reference):
            raise TypeError(f"policy: expected a Reference, got {type(policy).__name__}")
        self.policy = policy

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        if not isinstance(self.policy, policies.Policy):
            return predict(self.policy, x, t, kind="policy_calls").transition
        size = len(x)
        count("policy_calls", size)
        moments, limit = times(t, size, device_of_state(x)), current_max_batch() or max(1, size)
        cuts = [slice(start, start + limit) for start in range(0, size, limit)]
        return concatenate([self.policy.steer(prediction[cut], x[cut], moments[cut]) for cut in cuts])
