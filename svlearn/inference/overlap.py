"""Values that wait for other processes overlap with the network: while a piece is scored, the next is predicted."""

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

import torch
from torch import Tensor

from svlearn.metering import current_max_batch
from svlearn.process import Prediction
from svlearn.state import State, concatenate, take
from svlearn.targets import NonFiniteError
from svlearn.values.value import Value, evaluate

PIECES, SMALLEST = 4, 32  # more pieces wait less for the last one's score, and cost more calls


def predict_and_value(
    call: Callable[[State, Tensor, Prediction | None], Prediction],
    value: Value,
    x: State,
    t: Tensor,
    previous: Prediction | None,
    parents: Tensor | None = None,
) -> tuple[Prediction, Tensor]:
    """call(x, t, previous), t (N,), and v_t(x) of what it says, (N,), of an `asynchronous` value.

    parents (N,): the row of `previous` that each state comes from, None where it is each one's own.

    The batch is cut into `PIECES`, none of them larger than the frame's `max_batch`. The value runs in a thread of its
    own, one piece after the other, so that a reward need not be safe for threads; what it raises is raised here.
    """
    limit = current_max_batch()
    size = min(max(SMALLEST, math.ceil(len(x) / PIECES)), len(x) if limit is None else limit)
    cuts = [slice(start, start + size) for start in range(0, len(x), size)]
    predictions, waiting = [], []
    with ThreadPoolExecutor(max_workers=1) as executor:
        for cut in cuts:
            prediction = call(x[cut], t[cut], take(previous, cut if parents is None else parents[cut]))
            work = partial(_quietly, value, x[cut], t[cut], prediction)
            # in a copy of the context, so that the counts of this frame are those of its caller
            waiting.append(executor.submit(copy_context().run, work))
            predictions.append(prediction)
        values = torch.cat([_result_of(each, cut.start, len(x)) for each, cut in zip(waiting, cuts, strict=True)])
    return concatenate(predictions), values


def _result_of(waiting: Future, start: int, size: int) -> Tensor:
    try:
        return waiting.result()
    except NonFiniteError as error:
        error.add_note(f"the index counts from state {start} of a batch of {size}")
        raise


@torch.no_grad()  # a thread starts with gradients on
def _quietly(value: Value, x: State, t: Tensor, prediction: Prediction) -> Tensor:
    return evaluate(value, x, t, prediction)
