"""A dry run on two rows: what is wrong with a reference, a reward or a value is said before it costs an hour."""

import warnings
from functools import partial
from typing import Any

import torch
from torch import nn

from svlearn.arguments import expect, integer
from svlearn.conditions import rows_for
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Prediction, Reference, draw_initial, has
from svlearn.randomness import device_of, seeded
from svlearn.shapes import forget
from svlearn.state import State, device_of_state
from svlearn.targets import Target
from svlearn.testing.findings import Findings, layout
from svlearn.testing.optional import check_along
from svlearn.testing.presentation import check_presentation
from svlearn.testing.transition import check_law
from svlearn.testing.walk import walk
from svlearn.transitions import Transition, gaussian_of
from svlearn.values.value import Value, evaluate

ROWS = 2
LOST = 5e-4  # of a step's std that rounding may take
NOISY = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.modules.batchnorm._BatchNorm)


@torch.no_grad()
def check(
    reference: Reference, target: Target | None = None, value: Value | None = None, *, condition: Any = None
) -> list[str]:
    """Try a reference, a reward and a value on two rows, rolled out once; T calls of the reference, no training.

    At the first and the last step: forward, the law's `sample`, `log_prob`, `log_ratio` and `__getitem__`, the value;
    at all steps, where the reference defines `along`, that it predicts what forward does; of the finished states the
    reward, `decode`, `describe` and `draw`. condition: two rows, where there are any.
    Returns what runs but is not what it seems, one sentence each, and issues each as a UserWarning: a reference
    without noise, of which selection and guidance move nothing; one in training mode with dropout; states so far from
    0, against the noise of a step, that rounding biases log Z; a law without `cat`, which `max_batch` needs.
    Raises TypeError for what is no Reference, Target or Value; ValueError with all that is wrong, one line each.
    """
    expect(reference, Reference, "reference")
    condition = rows_for(condition, ROWS, "a sample")
    for thing, kind, name in ((target, Target, "target"), (value, Value, "value")):
        if thing is not None:
            expect(thing, kind, name)
    findings = Findings()
    _check_modes(findings, reference, "reference")
    if target is not None:
        _check_modes(findings, target.reward, "reward")
    with evaluating(reference, target, value), at_home(reference, target, value):
        finished = _walk(findings, reference, target, value, condition)
        if finished is not None:
            if target is not None:
                findings.attempt("reward", lambda: target(finished))
            findings.attempt(type(reference).__name__, lambda: check_presentation(reference, finished))
    if findings.errors:
        raise ValueError(f"check: {type(reference).__name__}\n{findings}") from findings.first
    for text in findings.warnings:
        warnings.warn(text, stacklevel=3)
    return findings.warnings


def _walk(
    findings: Findings, reference: Reference, target: Target | None, value: Value | None, condition: Any
) -> State | None:
    """The finished states of two rows, None where they are not reached; what is met on the way is looked at."""
    name = type(reference).__name__
    steps = findings.attempt(f"{name}.num_steps", lambda: integer(reference.num_steps, f"{name}.num_steps"))
    if steps is None:
        return None
    if condition is None:  # of one row more: an initial that ignores batch_size is right for one number alone
        generator = seeded(device_of(reference), 1)
        findings.attempt(f"{name}.initial", lambda: draw_initial(reference, ROWS + 1, generator=generator))
    forget(reference)
    silent, steps_of_two, t = [], walk(reference, condition, ROWS), -1
    steps_made: list[tuple[State, Prediction]] = []
    while True:
        where = f"{name}.initial" if t < 0 else f"{name}.forward" if t == 0 else f"{name}.forward after t = {t}"
        step = findings.attempt(where, lambda: next(steps_of_two, None))
        if step is None:
            break
        t, x, prediction, finished = step
        steps_made.append((x, prediction))
        if t in (0, steps - 1):
            silent.append(_check_step(findings, x, finished, prediction.transition, f"{name} at t = {t}"))
            _check_value(findings, value, x, t, prediction)
            if target is not None and prediction.clean is not None:
                findings.attempt(f"{name}.forward: clean at t = {t}", partial(target, prediction.clean))
    if t >= 0 and silent and all(silent):
        findings.warn(
            f"{name}: its steps have no noise (a std of 0), so all candidates are one, and selection, guidance and "
            "policies move nothing; take a sampler with noise (eta > 0, an SDE and not its flow)"
        )
    if t != steps - 1:
        return None
    if has(reference, "along") and not findings.errors:
        check_along(findings, reference, [*steps_made, (finished, prediction)], name)
    return finished


def _check_step(findings: Findings, x: State, x_next: State, law: Transition, where: str) -> bool:
    """Look at a law and what it drew; whether it is Gaussian without any noise."""
    if layout(x) != layout(x_next):
        kind = type(law).__name__
        findings.wrong(f"{where}: {kind}.sample: expected states as x_t, {layout(x)}, got {layout(x_next)}")
        return False
    check_law(findings, law, f"{where}: {type(law).__name__}", x, strict=False)
    inner = gaussian_of(law)
    if inner is None:
        return False
    lost = torch.finfo(inner.mean.dtype).eps * inner.mean.abs() / inner.std
    warned = any("to rounding" in text for text in findings.warnings)
    if not warned and bool((lost.masked_fill(inner.diracs, 0.0) > LOST).any()):
        findings.warn(
            f"{where}: states of up to {float(inner.mean.abs().max()):.3g} in {str(inner.mean.dtype)[6:]} lose more "
            f"than {LOST:g} of a step's noise to rounding, which biases weights and log Z; shift them to around 0, or "
            "use float64"
        )
    return bool(inner.diracs.all())


def _check_value(findings: Findings, value: Value | None, x: State, t: int, prediction: Prediction) -> None:
    if value is None:
        return
    generator = seeded(device_of_state(x), 2)
    findings.attempt(
        f"value at t = {t}", lambda: evaluate(value, x, t, prediction if value.reads(t) else None, generator=generator)
    )


def _check_modes(findings: Findings, thing: Any, name: str) -> None:
    if not isinstance(thing, nn.Module):
        return
    noisy = sorted({type(each).__name__ for each in thing.modules() if each.training and isinstance(each, NOISY)})
    if noisy:
        findings.warn(f"{name}: {type(thing).__name__} is in training mode, where {', '.join(noisy)} act; call eval()")
