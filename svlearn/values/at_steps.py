"""A value that looks ahead at some steps only, for one whose calls are dear."""

from collections.abc import Iterable

import torch
from torch import Tensor

from svlearn.process import Prediction
from svlearn.state import State, device_of_state, take
from svlearn.values.value import Value, evaluate


class AtSteps(Value):
    """v_t(x_t) of another value at the given steps t and 0 at all others, where it is not called; (B,), reward units.

    A lineage of `svdd` with one candidate at a step has nothing to choose there, and so nothing to ask:

        candidates = [5 if t % 20 == 0 else 1 for t in range(reference.num_steps)] + [1]
        value = AtSteps(PosteriorMean(target), (t for t, number in enumerate(candidates) if number > 1))
        svdd(reference, target, value, candidates)

    draws what the value of all steps would, for α = 0 and α > 0, with the same log Z: between two choices the weights
    telescope. Samplers that choose or resample at a step that is left out do it without look-ahead; weights stay right.
    Only the other value's own calls are counted. Raises ValueError for no step and for what is not an integer of at
    least 0, TypeError where `value` is not a `Value`.
    """

    counted = False

    def __init__(self, value: Value, steps: Iterable[int]):
        super().__init__()
        if not isinstance(value, Value):
            raise TypeError(f"value: expected a Value, got {type(value).__name__}")
        chosen = sorted({*steps})
        if not chosen or any(isinstance(t, bool) or not isinstance(t, int) or t < 0 for t in chosen):
            raise ValueError(f"steps: expected integers of at least 0, at least one, got {chosen}")
        self.value = value
        self.needs_prediction, self.needs_generator = value.needs_prediction, value.needs_generator
        self.waits = value.waits
        self.register_buffer("steps", torch.tensor(chosen), persistent=False)

    steps: Tensor

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        rows = torch.isin(t, self.steps).nonzero().squeeze(1)
        if len(rows) == len(t):
            return evaluate(self.value, x, t, prediction, generator=generator)
        values = torch.zeros(len(t), device=device_of_state(x))
        if len(rows) == 0:
            return values
        asked = evaluate(self.value, x[rows], t[rows], take(prediction, rows), generator=generator)
        return values.to(asked.dtype).index_copy(0, rows, asked)
