"""What values share that ask one value at some times and another, or none, at others."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from svlearn.process import Prediction
from svlearn.state import State, device_of_state, take
from svlearn.values.value import Value, Zero, evaluate


class Piecewise(Value):
    """v_t(x_t) of whichever value `asked` names for t, 0 where it names none; (B,), reward units.

    Only the values' own calls are counted, and only where one reads the prediction is it asked for. Where none, or
    `Zero`, is asked for all of a batch, the gradient in the states is 0. Raises TypeError for what is no `Value`.
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

    def reads(self, t: int | Tensor) -> bool:
        moments = torch.as_tensor(t).reshape(-1)
        return any(bool(rows.any()) and value.reads(moments[rows]) for value, rows in self.asked(moments))

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        values, constant = torch.zeros(len(t), device=device_of_state(x)), True
        for value, rows in self.asked(t):
            if isinstance(value, Zero) or not bool(rows.any()):
                continue
            constant = False
            if bool(rows.all()):
                return evaluate(value, x, t, prediction, generator=generator)
            at = rows.nonzero().squeeze(1)
            said = evaluate(value, x[at], t[at], take(prediction, at), generator=generator)
            values = values.to(torch.promote_types(values.dtype, said.dtype)).index_copy(0, at, said)
        return values.requires_grad_() if constant and torch.is_grad_enabled() else values
