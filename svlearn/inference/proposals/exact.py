"""The proposal that leaves nothing to weigh: the optimal transition, where a step has few outcomes."""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.proposals.proposal import Proposal
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, device_of_state, take
from svlearn.targets import Target
from svlearn.transitions import ListedTransition, Transition
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, at_time, evaluate


class ValuedTransition(ListedTransition):
    """A law over few next states (B, N, ...) with the value (B, N) of each, reward units."""

    def __init__(self, states: State, logits: Tensor, values: Tensor):
        super().__init__(states, logits)
        self.values = values

    def values_of(self, x: State) -> Tensor:
        """Of possible next states, M of each row side by side, (B · M, ...), the values (B · M,)."""
        copies, possible, parts = len(x) // len(self.values), self.log_probs > -torch.inf, []
        for k in range(copies):
            places = (self._equal(self.states, x[k::copies]) & possible).long().argmax(dim=1, keepdim=True)
            parts.append(self.values.gather(1, places))
        return torch.cat(parts, dim=1).flatten()


class Exact(Proposal):
    """q(x_{t+1} | x_t) ∝ p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α), summed over all outcomes of a step; v_T = r.

    With the exact soft value these are p*'s own transitions: no weight varies but that of x_0. Costs a value call (and
    a reference call where the value reads the prediction) for each outcome of each kept state; where the value defines
    `of_outcomes` one call for each kept state, and the sampler none for what is then drawn, if it has the same value.
    limit: the most outcomes of a step. Raises ValueError where there are more (it says how many), for α = 0, and
    TypeError for a value that is random.
    """

    def __init__(self, value: Value, limit: int = 1024):
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if value.needs_generator:
            raise TypeError(f"value: expected one that is not random, got {type(value).__name__}")
        self.value, self.limit = value, integer(limit, "limit")

    def bind(self, reference: Reference, target: Target | None) -> "Exact":
        if target is None or target.alpha == 0:
            raise ValueError("alpha: proposals.Exact needs a target with alpha > 0")
        bound = copy.copy(self)
        bound.reference, bound.target = reference, target
        values = [at_time(self.value, t) for t in range(1, reference.num_steps)]
        bound.reads = any(value.needs_prediction and has_outcomes(value) for value in values)
        return bound

    reference: Reference
    target: Target
    reads: bool  # whether a look at x_t that says the values of all outcomes reads the prediction

    def keep(self, prediction: Prediction) -> Prediction:
        return prediction if self.reads else prediction.trimmed()

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        states, log_probs = prediction.transition.outcomes(self.limit)
        size, number = log_probs.shape
        if t + 1 < self.reference.num_steps and has_outcomes(at_time(self.value, t + 1)):
            listed = replace(prediction, transition=ListedTransition(states, log_probs))
            values = evaluate_outcomes(self.value, x, t, listed)
            return ValuedTransition(states, log_probs + values.double() / self.target.alpha, values)
        twists = self._values(states.reshape(size * number, *states.shape[2:]), t + 1, prediction, number)
        logits = log_probs + (twists.double() / self.target.alpha).view(size, number)
        alive = (logits > -torch.inf).any(dim=1, keepdim=True)
        return ListedTransition(states, torch.where(alive, logits, log_probs))

    def values_drawn(self, value: Value, law: Transition, x: State) -> Tensor | None:
        return law.values_of(x) if value is self.value and isinstance(law, ValuedTransition) else None

    def _values(self, x: State, t: int, previous: Prediction, number: int) -> Tensor:
        if t == self.reference.num_steps:
            return self.target(x)
        prediction = None
        if self.value.reads(t):
            rows = torch.arange(len(x) // number, device=device_of_state(x)).repeat_interleave(number)
            prediction = predict(self.reference, x, t, None if previous.cache is None else take(previous, rows))
        return evaluate(self.value, x, t, prediction)
