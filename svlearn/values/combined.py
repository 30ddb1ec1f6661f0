"""What values share that ask all of several values at every time, and make one number of what these say."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from svlearn.process import Prediction
from svlearn.state import State
from svlearn.values.outcomes import has_outcomes
from svlearn.values.value import Value, Zero, at_time


class Combined(Value):
    """v_t(x_t) = `combine` of what each value says of x_t, (B,), reward units.

    A subclass writes `combine` and keeps the values, in order, in the ModuleList `values`. It asks for what any of them
    asks, is one value call, and has outcomes where all of them do. Where the others read (x, t) alone, one that asks
    for the predictions of parents is asked so. Raises TypeError, with its name, for what is no
    `Value`.
    """

    known: "list[Value] | None" = None  # of a copy by `at_time`: the values there

    def __init__(self, **values: Value):
        super().__init__()
        for name, value in values.items():
            if not isinstance(value, Value):
                raise TypeError(f"{name}: expected a Value, got {type(value).__name__}")
        held = list(values.values())
        self.values = nn.ModuleList(held)
        self.needs_prediction = any(value.needs_prediction for value in held)
        self.needs_generator = any(value.needs_generator for value in held)
        self.asynchronous = not self.needs_generator and any(value.asynchronous for value in held)

    @abstractmethod
    def combine(self, said: Sequence[Tensor]) -> Tensor:
        """One number, (B, ...), of what each of the values says, (B, ...)."""

    def at_time(self, t: int) -> Value:
        parts = [at_time(value, t) for value in self._parts()]
        if all(isinstance(each, Zero) for each in parts):
            return parts[0]  # nobody is asked, and of zeros both combinations are 0
        known = copy.copy(self)
        known.known = parts
        return known

    def reads(self, t: int | Tensor) -> bool:
        return any(value.reads(t) for value in self._parts())

    def defines(self, method: str) -> bool:
        if method == "of_children":
            asking = [value.defines(method) for value in self._parts()]
            others = [value for value, asks in zip(self._parts(), asking, strict=True) if not asks]
            return any(asking) and not any(value.needs_prediction or value.needs_generator for value in others)
        if method != "of_outcomes":
            return super().defines(method)
        return all(map(has_outcomes, self._parts()))

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        def call(value: Value) -> Tensor:
            randomness = {"generator": generator} if value.needs_generator else {}
            return value(x, t, prediction if value.reads(t) else None, **randomness)

        return self._of(call)

    def of_outcomes(self, x: State, t: Tensor, prediction: Prediction) -> Tensor:
        return self._of(lambda value: value.of_outcomes(x, t, prediction))

    def of_children(self, x: State, t: Tensor, parents: Prediction) -> Tensor:
        """Of those that read the parents' predictions by these, of the others as always."""
        return self._of(lambda value: value.of_children(x, t, parents) if value.defines("of_children") else value(x, t))

    def _of(self, call: Callable[[Value], Tensor]) -> Tensor:
        return self.combine([call(value) for value in self._parts()])

    def _parts(self) -> list[Value]:
        return cast(list[Value], list(self.values)) if self.known is None else self.known
