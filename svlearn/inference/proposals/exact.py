"""The proposal that leaves nothing to weigh: the optimal transition, where a step has few outcomes."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.proposals.proposal import Proposal
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.targets import Target
from svlearn.transitions import ListedTransition, Transition
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, at_time, evaluate


class ValuedTransition(Transition):
    """A law over listed next states with the value (B, N) of each, reward units."""

    def __init__(self, law: ListedTransition, values: Tensor):
        self.law, self.values = law, values

    def values_of(self, x: State) -> Tensor:
        """Of possible next states, M of each row side by side, (B · M, ...), the values (B · M,)."""
        copies = len(x) // len(self.values)
        parts = [self.values.gather(1, self.law.places_of(x[k::copies])[:, None]) for k in range(copies)]
        return torch.cat(parts, dim=1).flatten()

    def sample(self, *, generator: torch.Generator | None = None) -> State:
        return self.law.sample(generator=generator)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> State:
        return self.law.sample_each(parents, generator=generator)

    def log_prob(self, x_next: State) -> Tensor:
        return self.law.log_prob(x_next)

    def outcomes(self, limit: int) -> tuple[State, Tensor]:
        return self.law.outcomes(limit)

    def __getitem__(self, index: Any) -> "ValuedTransition":
        return ValuedTransition(self.law[index], self.values[index])

    @classmethod
    def cat(cls, parts: Sequence["ValuedTransition"]) -> "ValuedTransition":
        return cls(concatenate([part.law for part in parts]), torch.cat([part.values for part in parts]))


class Exact(Proposal):
    """q(x_{t+1} | x_t) ∝ p_ref(x_{t+1} | x_t) exp(v_{t+1}(x_{t+1})/α), summed over all outcomes of a step; v_T = r.

    With the exact soft value these are p*'s own transitions: no weight varies but that of x_0. Costs a value call (and
    a reference call where the value reads the prediction) for each outcome of each kept state; where the value defines
    `of_outcomes` one call for each kept state, and the sampler none for what is then drawn, if it has the same value.
    limit: the most outcomes of a step whose states are made. There are none made where the value defines `of_outcomes`
    and the law lists its next states without, as that of a text's next token does, whatever the vocabulary.
    last: at the step to T, "reward" sums over r of all outcomes, and "value" over the value's `of_outcomes` at T - 1 in
    its place, at no call of the reward: what r differs by is in the weights.
    Raises ValueError where there are more outcomes than `limit` (it says how many), for α = 0, for an unknown `last`
    and "value" of a value without `of_outcomes`; TypeError for a value that is random.
    """

    def __init__(self, value: Value, limit: int = 1024, last: str = "reward"):
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        if value.needs_generator:
            raise TypeError(f"value: expected one that is not random, got {type(value).__name__}")
        if last not in ("reward", "value"):
            raise ValueError(f"last: expected 'reward' or 'value', got {last!r}")
        if last == "value" and not has_outcomes(value):
            raise ValueError(f"last: expected 'reward', for {type(value).__name__} defines no of_outcomes, got 'value'")
        self.value, self.limit, self.last = value, integer(limit, "limit"), last

    def bind(self, reference: Reference, target: Target | None) -> "Exact":
        if target is None or target.alpha == 0:
            raise ValueError("alpha: proposals.Exact needs a target with alpha > 0")
        bound = copy.copy(self)
        bound.reference, bound.target = reference, target
        values = [at_time(self.value, t) for t in range(1, reference.num_steps)]
        values += [self.value] if self.last == "value" else []
        bound.reads = any(value.needs_prediction and has_outcomes(value) for value in values)
        return bound

    reference: Reference
    target: Target
    reads: bool  # whether a look at x_t that says the values of all outcomes reads the prediction

    def keep(self, prediction: Prediction) -> Prediction:
        return prediction if self.reads else prediction.trimmed()

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        final = t + 1 == self.reference.num_steps
        if has_outcomes(self.value if final else at_time(self.value, t + 1)) and (not final or self.last == "value"):
            listed = prediction.transition.listed(self.limit)
            values = evaluate_outcomes(self.value, x, t, replace(prediction, transition=listed))
            law = listed.reweighted(listed.log_probs + values.double() / self.target.alpha)
            return law if final else ValuedTransition(law, values)
        states, log_probs = prediction.transition.outcomes(self.limit)
        size, number = log_probs.shape
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
