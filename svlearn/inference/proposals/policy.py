"""A policy as proposal."""

from dataclasses import replace

from torch import Tensor

from svlearn import policies
from svlearn.inference.proposals.proposal import Proposal
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, concatenate, device_of_state, times
from svlearn.transitions import Transition


class Policy(Proposal):
    """q is a policy, a process with the reference's initial law; one policy call per kept state.

    A `policies.Policy` that corrects the reference reuses its prediction. Any other process predicts on its own, with
    the cache that it keeps beside the reference's, in `Prediction.policy`.
    """

    def __init__(self, policy: Reference):
        if not isinstance(policy, Reference):
            raise TypeError(f"policy: expected a Reference, got {type(policy).__name__}")
        self.policy = policy

    def complete(self, prediction: Prediction, x: State, t: int | Tensor, previous: Prediction | None) -> Prediction:
        if self._correction() is not None:
            return prediction
        own = predict(self.policy, x, t, None if previous is None else previous.policy, "policy_calls")
        return replace(prediction, policy=own.trimmed())

    def transition(self, x: State, t: int | Tensor, prediction: Prediction) -> Transition:
        """The law of x_{t+1} for every kept state (N, ...), all at t, or each at its own (N,)."""
        policy, size = self._correction(), len(x)
        if policy is None:
            own = prediction.policy
            own = predict(self.policy, x, t, kind="policy_calls") if own is None else own
            return self.policy.law_of(own, prediction) if isinstance(self.policy, policies.Policy) else own.transition
        count("policy_calls", size)
        moments, limit = times(t, size, device_of_state(x)), current_max_batch() or max(1, size)
        if size <= limit:
            return policy.steer(prediction, x, moments)
        cuts = [slice(start, start + limit) for start in range(0, size, limit)]
        return concatenate([policy.steer(prediction[cut], x[cut], moments[cut]) for cut in cuts])

    def _correction(self) -> policies.Policy | None:
        """The policy, where it corrects what the reference predicts."""
        policy = self.policy
        return policy if isinstance(policy, policies.Policy) and policy.corrects else None
