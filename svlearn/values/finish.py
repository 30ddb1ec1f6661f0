"""Finished samples from states on the way: the reference moves them on to T."""

from collections.abc import Iterator

import torch
from torch import Tensor

from svlearn.moving import Moving, moving_rows
from svlearn.process import Prediction, Reference, finished_rows, predict
from svlearn.state import State, concatenate, take


@torch.no_grad()
def finish(
    reference: Reference,
    x: State,
    t: int | Tensor,
    generator: torch.Generator | None = None,
    prediction: Prediction | None = None,
) -> State:
    """Roll states (B, ...) on from t, or each from its own (B,), to x_T with the reference, each with its cache.

    Those that are `Reference.finished` before T are called no more. An int t is not read back from anywhere.
    prediction: the reference's for all of them, where it is known; it is then not called for the first steps.
    """
    if isinstance(t, Tensor):
        return [x, *(states for _, states in steps_on(reference, x, t, generator, prediction))][-1]
    return _from_one(reference, x, t, generator, prediction)


def _from_one(
    reference: Reference, x: State, t: int, generator: torch.Generator | None, prediction: Prediction | None
) -> State:
    moving = Moving(reference, x)
    for step in range(t, reference.num_steps):
        if not moving.leave_finished():
            break
        if step == t and prediction is not None:
            latest = take(prediction, moving.rows)
        else:
            latest = predict(reference, moving.x, step, moving.previous)
        moving.step(latest.transition.sample(generator=generator), latest)
    return moving.states


@torch.no_grad()
def steps_on(
    reference: Reference,
    x: State,
    t: Tensor,
    generator: torch.Generator | None = None,
    prediction: Prediction | None = None,
) -> Iterator[tuple[int, State]]:
    """As `finish` from the t (B,) of each: t + 1 and the states (B, ...) after every step that is made, those that have
    not begun as they were given. The states are the same object each time, which the next step writes to."""
    x = x.clone()
    latest: Prediction | None = None  # of the rows that have begun, and move
    rows = t[:0]
    for step in range(int(t.min()) if len(t) else 0, reference.num_steps):
        moves = t <= step
        finished = finished_rows(reference, x)
        if finished is not None:
            moves = moves & ~finished
            latest = take(latest, moving_rows(~moves[rows]))
        rows = moves.nonzero().flatten()
        if len(rows):
            latest = _next(reference, x, t, step, rows, latest, prediction)
            x[rows] = latest.transition.sample(generator=generator)
        else:
            latest = None
        yield step + 1, x


def _next(
    reference: Reference,
    x: State,
    t: Tensor,
    step: int,
    rows: Tensor,
    latest: Prediction | None,
    first: Prediction | None,
) -> Prediction:
    """The predictions at a step for the rows (n,) that move: those that begin here have no cache yet, or their `first`
    prediction, which need not be made."""
    begins = t[rows] == step
    if first is None and (latest is None or latest.cache is None or not bool(begins.any())):
        return predict(reference, x[rows], step, latest)
    parts, places = [], []
    for new in (False, True):
        own = (begins if new else ~begins).nonzero().flatten()
        if len(own):
            places.append(own)
            known = new and first is not None
            parts.append(
                take(first, rows[own]) if known else predict(reference, x[rows[own]], step, None if new else latest)
            )
    return take(concatenate([each.trimmed() for each in parts]), torch.cat(places).argsort())
