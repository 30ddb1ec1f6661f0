"""A few rows of a reference, rolled out step by step."""

from collections.abc import Iterator
from typing import Any

from svlearn.process import Prediction, Reference, draw_initial, predict
from svlearn.randomness import device_of, seeded
from svlearn.state import State


def walk(reference: Reference, condition: Any, rows: int) -> Iterator[tuple[int, State, Prediction, State]]:
    """t, x_t, the prediction there and x_{t+1}, t = 0 ... T - 1, of so many rows; condition: of each, or None."""
    generator = seeded(device_of(reference), 0)
    x, prediction = draw_initial(reference, rows, condition=condition, generator=generator), None
    for t in range(reference.num_steps):
        prediction = predict(reference, x, t, prediction)
        x, before = prediction.transition.sample(generator=generator), x
        yield t, before, prediction, x
