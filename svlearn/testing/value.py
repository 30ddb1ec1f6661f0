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
    findings, name = Findings(), type(value).__name__
    with evaluating(value, reference), at_home(reference, value, check="every"):
        steps = steps_of(reference, condition)
        last = reference.num_steps
        for t in sorted({0, last // 2, last - 1}):
            _check(findings, value, *steps[t], t, f"{name}.forward at t = {t}")
        if last > 1 and not findings.errors:
            _check_times(findings, value, steps, last - 1, f"{name}.forward")
        if last > 1 and has_outcomes(value) and not findings.errors:
            _check_outcomes(findings, value, reference, *steps[0], f"{name}.of_outcomes")
    findings.finish(f"check_value: {name}")


def _check(findings: Findings, value: Value, x: State, prediction: Prediction, t: int, where: str) -> None:
    prediction_read = prediction if value.reads(t) else None
    size, device, copy = len(x), device_of_state(x), x.clone()
    moments = times(t, size, device)

    def call(generator: torch.Generator) -> Any:
        options: dict[str, Any] = {} if prediction_read is None else {"prediction": prediction_read}
        if value.needs_generator:
            options["generator"] = generator
        return value(copy, moments, **options)

    if value.needs_generator:
        values = findings.draw(where, call, device)
    else:
        values = findings.attempt(where, lambda: call(_new(device)))
    if values is None:
        if prediction_read is None and not value.needs_prediction:
            findings.errors[-1] += "; if it reads the prediction, write needs_prediction = True"
        return
    if not numbers(findings, values, size, where, finite=True):
        return
    if not same(x, copy):
        findings.wrong(f"{where}: expected x as it came, got it changed; write to a clone of it")
    if value.needs_generator:
        return
    again = call(_new(device))
    if not close(again, values):
        findings.wrong(
            f"{where}: expected the same numbers twice, got others; a random value writes needs_generator = True"
        )
        return
    rows = torch.tensor([2, 0, 0, 3], device=device)
    chosen = findings.attempt(where, lambda: evaluate(value, take(x, rows), t, take(prediction_read, rows)))
    if chosen is not None and not close(chosen, values[rows]):
        findings.wrong(f"{where}: expected of chosen rows their own numbers, got others; a value must not mix rows")


def _check_times(findings: Findings, value: Value, steps: list, last: int, where: str) -> None:
    if value.needs_generator:
        return
    (first, _), (later, _) = steps[0], steps[last]
    size, device = len(first), device_of_state(first)
    moments = torch.cat([times(0, size, device), times(last, size, device)])
    if value.reads(moments):
        return  # the predictions of two steps are not joined
    separate = torch.cat([evaluate(value, x, t) for x, t in ((first, 0), (later, last))])
    joint = findings.attempt(where, lambda: evaluate(value, torch.cat([first, later]), moments))
    if joint is not None and not close(joint, separate):
        findings.wrong(
            f"{where}: expected of rows at t = 0 and t = {last} in one call what each has alone, got others; t is "
            "(B,), one time a row"
        )


def _check_outcomes(
    findings: Findings, value: Value, reference: Reference, x: State, prediction: Prediction, where: str
) -> None:
    """v_1 of every outcome from one look at x_0 against `forward` of each."""
    law = prediction.transition
    if not isinstance(law, ListedTransition):
        return
    values = findings.attempt(where, lambda: evaluate_outcomes(value, x, 0, prediction))
    if values is None:
        return
    flat = law.states.flatten(0, 1)
    predicted = predict(reference, flat, 1) if value.reads(1) else None
    expected = evaluate(value, flat, 1, predicted).view(values.shape)
    if not close(values.flatten(), expected.flatten()):
        findings.wrong(f"{where}: expected v_1 of each outcome, in order, as forward has it, got others")


def _new(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(3)
