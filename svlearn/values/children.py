"""What a value says of states that a step has just drawn, from what the reference predicted for their parents."""

from torch import Tensor

from svlearn.compiled import plain
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction
from svlearn.raising import noted
from svlearn.state import State, concatenate, device_of_state, take, times
from svlearn.targets import check_scalars
from svlearn.values.value import Value, at_time


def asks_parents(value: Value, t: int) -> bool:
    """Whether a value defines `Value.of_children` at t: a sampler then asks that of the candidates for x_t, which a
    step has drawn, and calls the reference for those that are kept alone."""
    return t > 0 and plain(at_time(value, t)).defines("of_children")


def reads_candidates(value: Value, t: int) -> bool:
    """Whether a sampler calls the reference for each of the candidates for x_t, for this value to read."""
    return value.reads(t) and not asks_parents(value, t)


def evaluate_children(value: Value, x: State, t: int, parents: Prediction, rows: Tensor | None = None) -> Tensor:
    """v_t (N,) of x_t (N, ...) by `Value.of_children`, in pieces of the frame's `max_batch`, counted and checked.

    parents: what the reference predicted for the states x_{t-1}; rows (N,): that which each x_t comes from, None where
    it is its own. They are gathered piece by piece. Raises ValueError for values of another shape, NonFiniteError for
    one that is not finite (with the step and the index).
    """
    size, value = x.shape[0], at_time(value, t)
    name, limit = f"{type(value).__name__}.of_children", current_max_batch() or max(1, size)
    moments = times(t, size, device_of_state(x))
    parents = Prediction(parents.transition, clean=parents.clean)
    if value.counted:
        count("value_calls", size)
    parts = []
    for start in range(0, max(1, size), limit):
        cut = slice(start, start + limit)
        own = take(parents, cut if rows is None else rows[cut])
        with noted(name, value, x):
            values = value.of_children(x[cut], moments[cut], own)
        if not value.checked:
            check_scalars(values, len(moments[cut]), name, moments[cut], start, finite=True)
        parts.append(values)
    return parts[0] if len(parts) == 1 else concatenate(parts)
