"""What processes predict along whole trajectories of given states: in one pass where a model can, else by steps."""

import copy
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import torch
from torch import Tensor

from svlearn.compiled import plain
from svlearn.metering import current_max_batch
from svlearn.modes import evaluating
from svlearn.process import Prediction, Reference, call, counted, has, predict, step_by_step
from svlearn.shapes import check_prediction, forget, gives_cache, is_new
from svlearn.state import State, concatenate, device_of_state, times


@dataclass(frozen=True)
class Piece:
    """Some consecutive steps of B trajectories, flat with the time first, N = k · B.

    steps: the k times; x (N, ...) and t (N,); predictions: of each process that is called, N rows.
    """

    steps: range
    x: State
    t: Tensor
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Calls:
    """How a process is called along trajectories: what a call counts as, and whether a gradient may flow."""

    process: Reference
    kind: str = "reference_calls"
    gradient: bool = False


def in_one_pass(process: Reference, times: Sized) -> bool:
    """Whether the predictions at some of the times 0 ... T - 1 of a trajectory are asked for by its `along`.

    At all of them always, so that a cache is handed on. At some, where the process defines `along` and they are more
    than one: one pass over a text of L tokens costs L, and a call at a random time without a cache L/2 on average.
    """
    return len(times) == process.num_steps or (len(times) > 1 and has(process, "along"))


def pieces_along(calls: Sequence[Calls], states: State, most: int) -> Iterator[Piece]:
    """The predictions of the processes at t = 0 ... T - 1 of x_0 ... x_T (B, T + 1, ...), counted, in order.

    A process that defines `along` is asked for all trajectories at once, one that keeps a cache step by step, with the
    cache of the step before. Where all are of another kind, as many steps share a call as make up to `most` states.
    Raises TypeError and ValueError for an `along` that does not give T predictions.
    """
    size, steps = len(states), calls[0].process.num_steps
    sources = [_Source(each, states) for each in calls]
    together = 1 if any(each.iterator is not None for each in sources) else max(1, most // size)
    for start in range(0, steps, together):
        piece = range(start, min(start + together, steps))
        x = concatenate([states[:, t] for t in piece])
        t = torch.arange(piece.start, piece.stop, device=device_of_state(states)).repeat_interleave(size)
        yield Piece(piece, x, t, tuple(each.predict(x, t) for each in sources))


def predictions_at(process: Reference, states: State, times: Sequence[int]) -> Iterator[Prediction | None]:
    """For t = 0 ... T - 1 the prediction of x_t of x_0 ... x_T (B, T + 1, ...), None where t is not among `times`.

    Without gradient.
    """
    if in_one_pass(process, times):
        for piece in pieces_along([Calls(process)], states, 1):
            yield piece.predictions[0] if piece.steps[0] in times else None
        return
    for t in range(process.num_steps):
        with torch.no_grad():
            prediction = predict(process, states[:, t], t) if t in times else None
        yield prediction


def keeps_cache(process: Reference, x: State) -> bool:
    """Whether a process keeps a cache: as its calls so far have shown, else a look at x_0 (B, ...).

    A shallow copy is looked at, so that neither it nor the cost of a run remembers it.
    """
    known = gives_cache(process)
    if known is None:
        with torch.no_grad(), evaluating(process):
            known = call(copy.copy(plain(process)), x, times(0, len(x), device_of_state(x))).cache is not None
    return known


class _Source:
    """The predictions of one process. iterator: of those of single steps, in order, where these depend on it."""

    def __init__(self, calls: Calls, states: State):
        self.calls, self.states = calls, states
        self.iterator: Iterator[Prediction] | None = None
        limit, steps = current_max_batch(), calls.process.num_steps
        if has(calls.process, "along") and (limit is None or limit >= steps):
            self.iterator = self._in_one_pass(limit)
        elif keeps_cache(calls.process, states[:1, 0]):
            self.iterator = step_by_step(calls.process, states, calls.kind)

    def predict(self, x: State, t: Tensor) -> Prediction:
        with torch.set_grad_enabled(self.calls.gradient and torch.is_grad_enabled()):
            if self.iterator is None:
                return predict(self.calls.process, x, t, kind=self.calls.kind)
            return next(self.iterator)

    def _in_one_pass(self, limit: int | None) -> Iterator[Prediction]:
        """What `along` says, of as many trajectories at once as have `limit` states."""
        process, size, steps = self.calls.process, len(self.states), self.calls.process.num_steps
        name, rows = f"{type(process).__name__}.along", size if limit is None else max(1, limit // steps)
        passes = [iter(process.along(self.states[start : start + rows])) for start in range(0, size, rows)]
        for t in range(steps):
            parts = [next(each, None) for each in passes]
            for part in parts:
                if not isinstance(part, Prediction):
                    came = f"{t} predictions" if part is None else f"a {type(part).__name__}"
                    raise TypeError(f"{name}: expected {steps} Predictions, one for each t = 0 ... T - 1, got {came}")
            prediction = counted(self.calls.kind, concatenate(parts), size)
            if is_new(process, ("along", self.states.shape)):
                try:
                    check_prediction(process, self.states[:, t], prediction)
                except (TypeError, ValueError):
                    forget(process)
                    raise
            yield prediction
