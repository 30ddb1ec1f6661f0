"""What values share that ask one value at some times and another, or none, at others."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.process import Prediction
from svlearn.randomness import CPU
from svlearn.state import State, device_of_state, take
from svlearn.transitions import ListedTransition
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, Zero, at_time, evaluate


class Piecewise(Value):
    """v_t(x_t) of whichever value `asked` names for t, 0 where it names none; (B,), reward units.

    Only the values' own calls are counted, and only where one reads the prediction is it asked for. Where none, or
    `Zero`, is asked for all of a batch, the gradient in the states is 0. It has outcomes where all of them do, and at a
    known t where the one that is asked does. Raises TypeError for what is no `Value`.
    """

    counted = False

    def __init__(self, **values: Value):
        super().__init__()
        for name, value in values.items():
            if not isinstance(value, Value):
                raise TypeError(f"{name}: expected a Value, got {type(value).__name__}")
            setattr(self, name, value)
        self.needs_prediction = any(value.needs_prediction for value in values.values())
        self.needs_generator = any(value.needs_generator for value in values.values())
        self.asynchronous = any(value.asynchronous for value in values.values())

    @abstractmethod
    def asked(self, t: Tensor) -> Iterable[tuple[Value, Tensor]]:
        """Each value, and the rows of t (B,) that it is asked for, bool (B,); no row twice."""

    def at_time(self, t: int) -> Value:
        """The value in force at t; itself, where a subclass computes something else of it."""
        if type(self).forward is not Piecewise.forward:
            return self
        for value, rows in self.asked(torch.tensor([t], device=CPU)):
            if bool(rows.any()) and not isinstance(value, Zero):
                return at_time(value, t)
        return Flat()

    def reads(self, t: int | Tensor) -> bool:
        if not isinstance(t, Tensor):
            known = self.at_time(t)
            return self.reads(torch.tensor([t], device=CPU)) if known is self else known.reads(t)
        moments = t.reshape(-1)
        return any(bool(rows.any()) and value.reads(moments[rows]) for value, rows in self.asked(moments))

    def defines(self, method: str) -> bool:
        if method != "of_outcomes":
            return super().defines(method)
        held = [each for each in self.children() if isinstance(each, Value) and not isinstance(each, Zero)]
        return bool(held) and all(map(has_outcomes, held))

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        def call(value: Value, rows: Tensor | None) -> Tensor:
            return evaluate(value, take(x, rows), take(t, rows), take(prediction, rows), generator=generator)

        return self._by_rows(t, call, torch.zeros(len(t), device=device_of_state(x)))

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        def call(value: Value, rows: Tensor | None) -> Tensor:
            return evaluate_outcomes(value, take(x, rows), take(t, rows), take(prediction, rows))

        return self._by_rows(t + 1, call, _zeros(prediction))

    def _by_rows(self, t: Tensor, call: Callable[[Value, Tensor | None], Tensor], values: Tensor) -> Tensor:
        """The values (B, ...), 0 as they are given, with call(value, rows) where one is asked, rows None for all."""
        constant = True
        for value, rows in self.asked(t):
            if isinstance(value, Zero) or not bool(rows.any()):
                continue
            constant = False
            if bool(rows.all()):
                return call(value, None)
            at = rows.nonzero().squeeze(1)
            said = call(value, at)
            values = values.to(torch.promote_types(values.dtype, said.dtype)).index_copy(0, at, said)
        return values.requires_grad_() if constant and torch.is_grad_enabled() else values


class Flat(Zero):
    """0, and so are the values of outcomes and the gradient in the states: a `Piecewise` where it asks nobody."""

    def forward(self, *given: Any, **named: Any) -> Tensor:
        values = super().forward(*given, **named)
        return values.requires_grad_() if torch.is_grad_enabled() else values

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        return _zeros(prediction)


def _zeros(prediction: Prediction) -> Tensor:
    """(B, N), one for each outcome."""
    log_probs = cast(ListedTransition, prediction.transition).log_probs
    return torch.zeros(log_probs.shape, device=log_probs.device)
