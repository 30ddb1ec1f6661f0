"""What every proposal is, and the reference itself as one."""

from abc import ABC, abstractmethod

from torch import Tensor

from svlearn.process import Prediction, Reference, predict
from svlearn.state import State
from svlearn.targets import Target
from svlearn.transitions import Transition
from svlearn.values.value import Value


class Proposal(ABC):
    """q(x_{t+1} | x_t), from the kept states and the reference's prediction for them. A subclass writes `transition`.

    needs_gradient: whether it has its own way to call the reference for the kept states, `predict`.
    """

    needs_gradient: bool = False

    def bind(self, reference: Reference, target: Target | None) -> "Proposal":
        """The proposal as a sampler uses it; raises ValueError where it cannot serve this reference and target."""
        return self

    def predict(self, reference: Reference, x: State, t: int | Tensor, previous: Prediction | None) -> Prediction:
        """The prediction for kept states (N, ...) at t, or each at its own (N,)."""
        return self.complete(predict(reference, x, t, previous), x, t, previous)

    def complete(self, prediction: Prediction, x: State, t: int | Tensor, previous: Prediction | None) -> Prediction:
        """The reference's prediction for kept states with what else the proposal asks for once a kept state, such as a
        policy's own; as it is, unless a subclass asks. previous: of the step before, where it holds a cache."""
        return prediction

    def keep(self, prediction: Prediction) -> Prediction:
        """What `transition` reads of the prediction: all of it, unless a subclass knows better. Only this is copied
        where the survivors of a step are."""
        return prediction

    def values_drawn(self, value: Value, law: Transition, x: State) -> Tensor | None:
        """v_{t+1} (N · M,) of what was drawn from its law for N kept states, M times each, where it has worked out
        those of this value for all outcomes; else None, and the sampler calls the value."""
        return None

    @abstractmethod
    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        """The law of x_{t+1} for every kept state (N, ...), given what `predict` predicted for it."""


class FromReference(Proposal):
    """q = p_ref: no correction is due."""

    def keep(self, prediction: Prediction) -> Prediction:
        return prediction.trimmed()

    def transition(self, x: State, t: int, prediction: Prediction) -> Transition:
        return prediction.transition
