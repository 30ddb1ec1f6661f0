"""What a value must do: one finite number a row, each by itself, and only what it says that it reads."""

from typing import Any

import torch

from svlearn.arguments import expect
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Prediction, Reference, predict
from svlearn.state import State, device_of_state, take, times
from svlearn.testing.findings import Findings, close, numbers, same
from svlearn.testing.reference import steps_of
from svlearn.transitions import ListedTransition
from svlearn.values.outcomes import evaluate_outcomes, has_outcomes
from svlearn.values.value import Value, evaluate


@torch.no_grad()
def check_value(value: Value, reference: Reference, *, condition: Any = None) -> None:
    """Try a value on four trajectories of its reference, at the first, the middle and the last step before T.

    One finite number a row; of chosen rows those of the rows, and of rows at several times in one call what each has at
    its own; x as it came; the same twice, by the generator alone where it `needs_generator`; no prediction read where
    `reads(t)` says that none is; of `of_outcomes`, where steps are listed, what forward says of each outcome.
    Raises TypeError for what is no Value, ValueError with all that is wrong, one line each.
    """
    expect(value, Value, "value"), expect(reference, Reference, "reference")
    found, name = Findings(), type(value).__name__
    with evaluating(value, reference), at_home(reference, value, check="every"):
        steps = steps_of(reference, condition)
        last = reference.num_steps
        for t in sorted({0, last // 2, last - 1}):
            _look_at(found, value, *steps[t], t, f"{name}.forward at t = {t}")
        if last > 1 and not found.errors:
            _look_at_times(found, value, steps, last - 1, f"{name}.forward")
        if last > 1 and has_outcomes(value) and not found.errors:
            _look_at_outcomes(found, value, reference, *steps[0], f"{name}.of_outcomes")
    found.finish(f"check_value: {name}")


def _look_at(found: Findings, value: Value, x: State, prediction: Prediction, t: int, where: str) -> None:
    told = prediction if value.reads(t) else None
    size, device, copy = len(x), device_of_state(x), x.clone()
    moments = times(t, size, device)

    def said(generator: torch.Generator) -> Any:
        given: dict[str, Any] = {"generator": generator} if value.needs_generator else {}
        return value(copy, moments, **({"prediction": told} if told is not None else {}), **given)

    values = (
        found.draw(where, said, device) if value.needs_generator else found.attempt(where, lambda: said(_new(device)))
    )
    if values is None:
        if told is None and not value.needs_prediction:
            found.errors[-1] += "; if it reads the prediction, write needs_prediction = True"
        return
    if not numbers(found, values, size, where, finite=True):
        return
    if not same(x, copy):
        found.wrong(f"{where}: expected x as it came, got it changed; write to a clone of it")
    if value.needs_generator:
        return
    again = said(_new(device))
    if not close(again, values):
        found.wrong(
            f"{where}: expected the same numbers twice, got others; a random value writes needs_generator = True"
        )
        return
    rows = torch.tensor([2, 0, 0, 3], device=device)
    chosen = found.attempt(where, lambda: evaluate(value, take(x, rows), t, take(told, rows)))
    if chosen is not None and not close(chosen, values[rows]):
        found.wrong(f"{where}: expected of chosen rows their own numbers, got others; a value must not mix rows")


def _look_at_times(found: Findings, value: Value, steps: list, last: int, where: str) -> None:
    if value.needs_generator:
        return
    (first, _), (later, _) = steps[0], steps[last]
    size, device = len(first), device_of_state(first)
    moments = torch.cat([times(0, size, device), times(last, size, device)])
    if value.reads(moments):
        return  # the predictions of two steps are not joined
    wanted = torch.cat([evaluate(value, x, t) for x, t in ((first, 0), (later, last))])
    came = found.attempt(where, lambda: evaluate(value, torch.cat([first, later]), moments))
    if came is not None and not close(came, wanted):
        found.wrong(
            f"{where}: expected of rows at t = 0 and t = {last} in one call what each has alone, got others; t is "
            "(B,), one time a row"
        )


def _look_at_outcomes(
    found: Findings, value: Value, reference: Reference, x: State, prediction: Prediction, where: str
) -> None:
    """v_1 of every outcome from one look at x_0 against `forward` of each."""
    law = prediction.transition
    if not isinstance(law, ListedTransition):
        return
    came = found.attempt(where, lambda: evaluate_outcomes(value, x, 0, prediction))
    if came is None:
        return
    flat = law.states.flatten(0, 1)
    told = predict(reference, flat, 1) if value.reads(1) else None
    wanted = evaluate(value, flat, 1, told).view(came.shape)
    if not close(came.flatten(), wanted.flatten()):
        found.wrong(f"{where}: expected v_1 of each outcome, in order, as forward has it, got others")


def _new(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(3)
