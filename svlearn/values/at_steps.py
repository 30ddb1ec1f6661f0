"""A value that looks ahead at some steps only, for one whose calls are dear."""

from collections.abc import Iterable

import torch
from torch import Tensor

from svlearn.arguments import integers
from svlearn.values.piecewise import Piecewise
from svlearn.values.value import Value


class AtSteps(Piecewise):
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

    value: Value

    def __init__(self, value: Value, steps: Iterable[int]):
        super().__init__(value=value)
        chosen = sorted({*integers(steps, "steps", 0)})
        if not chosen:
            raise ValueError("steps: expected integers of at least 0, at least one, got none")
        self.steps = torch.tensor(chosen)

    def asked(self, t: Tensor) -> list[tuple[Value, Tensor]]:
        return [(self.value, torch.isin(t, self.steps.to(t.device)))]
