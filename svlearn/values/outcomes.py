"""What a value says of all outcomes of a step from one look at the state before it."""

from torch import Tensor

from svlearn.compiled import plain
from svlearn.deferred_checks import check_finite, is_deferring
from svlearn.metering import count, current_max_batch
from svlearn.process import Prediction
from svlearn.state import State, concatenate, device_of_state, times
from svlearn.targets import NonFiniteError
from svlearn.transitions import ListedTransition
from svlearn.values.value import Value, at_time


def has_outcomes(value: Value) -> bool:
    """Whether a value defines `Value.of_outcomes`."""
    return plain(value).defines("of_outcomes")


def evaluate_outcomes(value: Value, x: State, t: int | Tensor, prediction: Prediction) -> Tensor:
    """v_{t+1} (B, N) by `Value.of_outcomes`, in pieces of the frame's `max_batch`; one call is counted for each x_t.

    prediction: of x_t, its transition a `ListedTransition` of N states. Raises TypeError for another one, ValueError
    for values of another shape, NonFiniteError for one that is not finite (with the step and the row).
    """
    if not isinstance(prediction.transition, ListedTransition):
        kind = type(prediction.transition).__name__
        raise TypeError(f"prediction.transition: expected a ListedTransition of the outcomes, got {kind}")
    value = value if isinstance(t, Tensor) else at_time(value, t + 1)
    shape, name = tuple(prediction.transition.log_probs.shape), f"{type(value).__name__}.of_outcomes"
    size = shape[0]
    t = times(t, size, device_of_state(x))
    if value.counted:
        count("value_calls", size)
    limit = current_max_batch()
    if limit is None or size <= limit:
        values = value.of_outcomes(x, t, prediction)
    else:
        cuts = [slice(start, start + limit) for start in range(0, size, limit)]
        values = concatenate([value.of_outcomes(x[cut], t[cut], prediction[cut]) for cut in cuts])
    if not isinstance(values, Tensor) or tuple(values.shape) != shape:
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{name}: expected shape {shape}, one for each outcome of each row, got {came}")
    found = values.clone() if is_deferring() else values

    def look() -> None:
        if not bool(found.isfinite().all()):
            row = int((~found.isfinite()).any(dim=1).nonzero()[0])
            raise NonFiniteError(
                f"{name}: expected finite numbers at step {int(t[row]) + 1}, got others at index {row}"
            )

    check_finite(found.sum(), look)
    return values
