"""The reference is called once a kept or scored state: what was predicted for a candidate serves who survives."""

from dataclasses import replace

from torch import Tensor

from svlearn.inference.particles import Draws
from svlearn.inference.parts import Parts
from svlearn.process import Prediction
from svlearn.state import State, take


def prediction_of_survivors(
    parts: Parts, draws: Draws, x: State, rows: Tensor | None, prediction: Prediction | None, t: int
) -> Prediction | None:
    """What the reference says of the survivors x_t, those rows of the candidates; None at T.

    prediction: of the candidates, where the value has read it. Where nobody has, or the proposal has its own way to
    call, the survivors alone are predicted now, and only their rows of the cache are gathered. No cache is kept where
    no call follows.
    """
    if t == parts.num_steps:
        return None
    if prediction is None or (parts.proposal.needs_gradient and draws.shape[2] > 1):
        previous = draws.previous
        if previous is not None:
            origin = rows if draws.parents is None else take(draws.parents, rows)
            previous = take(previous, origin)
        return parts.proposal.predict(parts.reference, x, t, previous)
    kept = parts.proposal.keep(prediction)
    if kept.cache is not None and t + 1 == parts.num_steps:
        kept = replace(kept, cache=None)
    return take(kept, rows)
