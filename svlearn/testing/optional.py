"""What a reference may define besides `initial` and `forward`, on a few trajectories."""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from svlearn.process import Prediction, Reference, add_noise, has, predict
from svlearn.state import State, device_of_state, take, times
from svlearn.testing.findings import Findings, close, layout, leaves
from svlearn.trajectories import predictions_at
from svlearn.transitions import Transition, coordinates_of, gaussian_of

DEVIATIONS = 10.0  # of which a χ² of few numbers has less than one in a million


def check_optional(findings: Findings, reference: Reference, steps: list[tuple[State, Prediction]], name: str) -> None:
    """steps: x_t and the prediction there, t = 0 ... T - 1, and x_T with the last one."""
    if has(reference, "initial_law"):
        _check_initial_law(findings, reference, steps[0][0], name)
    if has(reference, "noise"):
        _check_noise(findings, reference, steps[-1][0], name)
        if has(reference, "denoising_loss") and not findings.errors:
            _check_denoising_loss(findings, reference, steps, name)
    if has(reference, "finished"):
        _check_finished(findings, reference, steps, name)
    if has(reference, "along"):
        check_along(findings, reference, steps, name)


def _check_initial_law(findings: Findings, reference: Reference, start: State, name: str) -> None:
    """It is Gaussian, and the law of what `initial` has drawn: the squares of that, in its stds, are 1 on average."""
    law = findings.attempt(f"{name}.initial_law", lambda: reference.initial_law(start))
    if law is None:
        return
    gaussian = gaussian_of(law) if isinstance(law, Transition) else None
    if gaussian is None:
        findings.wrong(f"{name}.initial_law: expected a Gaussian law, got a {type(law).__name__}; leave it out")
        return
    moved = gaussian.std.expand_as(gaussian.mean) > 0
    offsets = (coordinates_of(law).of(start) - gaussian.mean)[moved] / gaussian.std.expand_as(gaussian.mean)[moved]
    squares = float(offsets.double().square().mean()) if offsets.numel() else 1.0
    if abs(squares - 1) > DEVIATIONS * (2 / max(1, offsets.numel())) ** 0.5:
        findings.wrong(
            f"{name}.initial_law: expected the law of what initial() draws, whose squared distance from the mean is 1 "
            f"in its stds, got {squares:.3g} of {offsets.numel()} numbers; starts would weigh them wrongly"
        )


def _check_noise(findings: Findings, reference: Reference, finished: State, name: str) -> None:
    size, device = len(finished), device_of_state(finished)
    later, earlier = times(reference.num_steps, size, device), times(0, size, device)
    noised = findings.draw(
        f"{name}.noise", lambda generator: reference.noise(finished, later, earlier, generator=generator), device
    )
    if noised is not None and layout(noised) != layout(finished):
        findings.wrong(f"{name}.noise: expected states as x_T, {layout(finished)}, got {layout(noised)}")


def _check_denoising_loss(
    findings: Findings, reference: Reference, steps: list[tuple[State, Prediction]], name: str
) -> None:
    """One number a row, of that row alone, for x_T and for a prediction of it, at states that `noise` makes of x_T."""
    finished, where, last = steps[-1][0], f"{name}.denoising_loss", reference.num_steps
    size, device = len(finished), device_of_state(finished)
    rows = torch.arange(size, device=device).flip(0)
    for step in sorted({0, last // 2, last - 1}):
        t, generator = times(step, size, device), torch.Generator(device).manual_seed(3)
        x = add_noise(reference, finished, times(last, size, device), t, lambda: steps[0][0], generator)
        own = predict(reference, x, t)
        targets: list[tuple[str, Any]] = [("x_T", finished), ("a Prediction in the place of x_T", own)]
        for what, x_T in targets:
            losses = findings.attempt(f"{where} of {what}", partial(reference.denoising_loss, x_T, x, t, own))
            if losses is None:
                return
            if not isinstance(losses, Tensor) or losses.shape != (size,) or not bool(losses.isfinite().all()):
                actual = losses.tolist() if isinstance(losses, Tensor) else type(losses).__name__
                findings.wrong(f"{where}: expected {size} finite numbers, (B,), of {what} at t = {step}, got {actual}")
                return
            turned = reference.denoising_loss(take(x_T, rows), take(x, rows), t, take(own, rows))
            if not close(turned, losses[rows]):
                findings.wrong(
                    f"{where}: expected of each row its own loss at t = {step}, got others once the rows were turned; "
                    "take means over all but the first dimension"
                )
                return


def _check_finished(findings: Findings, reference: Reference, steps: list, name: str) -> None:
    """A finished state steps to itself, with log-probability 0, and stays finished."""
    rows = None
    for t, (x, prediction) in enumerate(steps):
        before, rows = rows, findings.attempt(f"{name}.finished", lambda x=x: reference.finished(x))  # type: ignore[misc]
        if rows is None:
            return
        if not isinstance(rows, Tensor) or rows.dtype != torch.bool or rows.shape != (len(x),):
            actual = f"{tuple(rows.shape)} of {rows.dtype}" if isinstance(rows, Tensor) else type(rows).__name__
            findings.wrong(f"{name}.finished: expected bools of shape (B,) = ({len(x)},), got {actual}")
            return
        if before is not None and bool((before & ~rows).any()):
            findings.wrong(f"{name}.finished: expected a finished state to stay one, got one that is none at t = {t}")
        if t + 1 == len(steps) or not bool(rows.any()):
            continue
        own, after = leaves(x), leaves(steps[t + 1][0])
        still = all(torch.equal(leaf[rows], after[key][rows]) for key, leaf in own.items())
        stays = prediction.transition[rows].log_prob(x[rows])
        if not still or not close(stays, torch.zeros_like(stays)):
            findings.wrong(
                f"{name}.finished: expected finished states to step to themselves with log-probability 0, got others "
                f"at t = {t}; let the law copy them, as AppendingTransition(end=) does"
            )
            return


def check_along(findings: Findings, reference: Reference, steps: list[tuple[State, Prediction]], name: str) -> None:
    """Hold the laws that `along` predicts against those of `forward`, by the steps that were made."""
    states = torch.stack([x for x, _ in steps], dim=1)
    predictions = findings.attempt(
        f"{name}.along", lambda: list(predictions_at(reference, states, range(reference.num_steps)))
    )
    for t, along in enumerate(predictions or ()):
        after = steps[t + 1][0]
        own, other = (each.transition.log_prob(after) for each in (steps[t][1], cast(Prediction, along)))
        if not close(other, own):
            findings.wrong(
                f"{name}.along: expected at t = {t} the law that forward predicts, log_prob {own.tolist()} of the "
                f"moves that were made, got {other.tolist()}; objectives would train another law than samplers draw "
                "from"
            )
            return
