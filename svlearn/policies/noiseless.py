"""Where a reference has no noise: at which of its steps, and that a policy may leave these to it."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from svlearn.placement import where_the_reference_is
from svlearn.process import Prediction, Reference, call, draw_initial
from svlearn.randomness import device_of, seeded
from svlearn.state import device_of_state, times
from svlearn.transitions import gaussian_of

NOISY, WHOLE, PART = range(3)  # a step with noise, one without any, one with noise in some elements alone


class NoiselessSteps(NamedTuple):
    """The kind of every step (T,), long, and whether the process keeps a cache."""

    kinds: Tensor
    cached: bool


@torch.no_grad()
@where_the_reference_is
def noiseless_steps(reference: Reference, condition: Any = None) -> NoiselessSteps:
    """By a look at two states of a trajectory, T calls, which are not counted; condition: two rows, of the two.

    A step whose law is not Gaussian counts as noisy. ValueError where x_0 cannot be drawn without a condition."""
    generator = seeded(device_of(reference), 0)
    try:
        x = draw_initial(reference, 2, condition=condition, generator=generator)
    except Exception as error:
        if condition is not None:
            raise
        raise ValueError(
            "noiseless: the reference is looked at before it is trained, and draws no x_0 without a condition; give "
            f"one row as condition= ({error})"
        ) from error
    kinds, cached = [], False
    previous: Prediction | None = None
    for t in range(reference.num_steps):
        cache = None if previous is None or previous.cache is None else previous
        previous = call(reference, x, times(t, 2, device_of_state(x)), cache)
        cached = cached or previous.cache is not None
        law = gaussian_of(previous.transition)
        diracs = torch.zeros(1, dtype=torch.bool) if law is None else law.diracs
        kinds.append(WHOLE if bool(diracs.all()) else PART if bool(diracs.any()) else NOISY)
        x = previous.transition.sample(generator=generator)
    return NoiselessSteps(torch.tensor(kinds), cached)


def joined(parts: list[Prediction], rows: list[Tensor]) -> Prediction:
    """Predictions of different rows as that of all, in the order of these; what some part does not say is left out."""
    said: dict[str, Any] = {}
    for name in ("clean", "clean_law", "features", "cache"):
        if any(getattr(part, name) is None for part in parts):
            said[name] = None
    counted = [
        torch.ones(len(own), dtype=torch.long, device=own.device) if part.evaluations is None else part.evaluations
        for part, own in zip(parts, rows, strict=True)
    ]
    alike = [replace(part, evaluations=number, **said) for part, number in zip(parts, counted, strict=True)]
    return Prediction.cat(alike)[torch.cat(rows).argsort()]
