"""What a reference may define besides `initial` and `forward`: noise, finished and along, on a few trajectories."""

import torch
from torch import Tensor

from svlearn.process import Prediction, Reference, has
from svlearn.state import State, device_of_state, times
from svlearn.testing.findings import Findings, close, layout, leaves


def look_at_optional(found: Findings, reference: Reference, steps: list[tuple[State, Prediction]], name: str) -> None:
    """steps: x_t and the prediction there, t = 0 ... T - 1, and x_T with the last one."""
    if has(reference, "noise"):
        _look_at_noise(found, reference, steps[-1][0], name)
    if has(reference, "finished"):
        _look_at_finished(found, reference, steps, name)
    if has(reference, "along"):
        _look_at_along(found, reference, steps, name)


def _look_at_noise(found: Findings, reference: Reference, finished: State, name: str) -> None:
    size, device = len(finished), device_of_state(finished)
    later, earlier = times(reference.num_steps, size, device), times(0, size, device)
    noised = found.draw(
        f"{name}.noise", lambda generator: reference.noise(finished, later, earlier, generator=generator), device
    )
    if noised is not None and layout(noised) != layout(finished):
        found.wrong(f"{name}.noise: expected states as x_T, {layout(finished)}, got {layout(noised)}")


def _look_at_finished(found: Findings, reference: Reference, steps: list, name: str) -> None:
    """A finished state steps to itself, with log-probability 0, and stays finished."""
    rows = None
    for t, (x, prediction) in enumerate(steps):
        before, rows = rows, found.attempt(f"{name}.finished", lambda x=x: reference.finished(x))  # type: ignore[misc]
        if rows is None:
            return
        if not isinstance(rows, Tensor) or rows.dtype != torch.bool or rows.shape != (len(x),):
            came = f"{tuple(rows.shape)} of {rows.dtype}" if isinstance(rows, Tensor) else type(rows).__name__
            found.wrong(f"{name}.finished: expected bools of shape (B,) = ({len(x)},), got {came}")
            return
        if before is not None and bool((before & ~rows).any()):
            found.wrong(f"{name}.finished: expected a finished state to stay one, got one that is none at t = {t}")
        if t + 1 == len(steps) or not bool(rows.any()):
            continue
        own, after = leaves(x), leaves(steps[t + 1][0])
        still = all(torch.equal(leaf[rows], after[key][rows]) for key, leaf in own.items())
        stays = prediction.transition[rows].log_prob(x[rows])
        if not still or not close(stays, torch.zeros_like(stays)):
            found.wrong(
                f"{name}.finished: expected finished states to step to themselves with log-probability 0, got others "
                f"at t = {t}; let the law copy them, as AppendingTransition(end=) does"
            )
            return


def _look_at_along(found: Findings, reference: Reference, steps: list, name: str) -> None:
    states = torch.stack([x for x, _ in steps], dim=1)
    along = found.attempt(f"{name}.along", lambda: list(reference.along(states)))
    if along is None:
        return
    if len(along) != reference.num_steps:
        found.wrong(f"{name}.along: expected {reference.num_steps} predictions, one at each t, got {len(along)}")
        return
    for t, given in enumerate(along):
        x_next, own = steps[t + 1][0], steps[t][1]
        came = found.attempt(f"{name}.along", lambda given=given, x=x_next: given.transition.log_prob(x))  # type: ignore[misc]
        if came is not None and not close(came, own.transition.log_prob(x_next)):
            found.wrong(f"{name}.along: expected at t = {t} the law that forward gives there, got another")
            return
