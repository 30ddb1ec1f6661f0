"""Which states of a batch still move as a process steps on: what is finished before T is called no more."""

from torch import Tensor

from svlearn.process import Prediction, Reference, finished_rows
from svlearn.state import State, take


def moving_rows(finished: Tensor | None) -> Tensor | None:
    """The rows (n,) that are not finished; None where all are not."""
    if finished is None or not bool(finished.any()):
        return None
    return (~finished).nonzero().squeeze(1)


def spread(rows: Tensor, places: Tensor | None, size: int) -> Tensor:
    """The rows (n, ...) at their places (n,) among `size`, 0 elsewhere; as they are where the places are None."""
    return rows if places is None else rows.new_zeros(size, *rows.shape[1:]).index_copy(0, places, rows)


class Moving:
    """A batch that a process, or a proposal in its place, moves step by step, until all are `Reference.finished`.

    states (B, ...): all of them; x (n, ...): those that move on, and rows (n,), which of all they are, None where they
    are all; previous: what was predicted for these at the step before, with the cache that the next call may reuse,
    None where there is none.
    """

    def __init__(self, process: Reference, states: State):
        self.process, self.states, self.x = process, states, states
        self.rows: Tensor | None = None
        self.previous: Prediction | None = None

    def leave_finished(self) -> bool:
        """Leave those behind that are finished by now; whether any moves on."""
        kept = moving_rows(finished_rows(self.process, self.x))
        if kept is not None:
            self.rows = kept if self.rows is None else self.rows[kept]
            self.x, self.previous = take(self.x, kept), take(self.previous, kept)
        return len(self.x) > 0

    def step(self, x: State, prediction: Prediction) -> State:
        """Go on to x (n, ...), drawn by what was predicted for those that move; all states (B, ...) after it."""
        if self.rows is None:
            self.states = x
        else:
            self.states = self.states.clone()
            self.states[self.rows] = x
        self.x, self.previous = x, prediction.trimmed() if prediction.has_cache else None
        return self.states
