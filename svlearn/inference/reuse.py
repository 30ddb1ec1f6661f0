"""The reference is called once a kept or scored state: what was predicted for a candidate serves who survives."""

from dataclasses import replace

from torch import Tensor

from svlearn.inference.particles import Draws
from svlearn.inference.parts import Parts
from svlearn.inference.selection import Candidates
from svlearn.moving import moving_rows
from svlearn.process import Prediction
from svlearn.state import State, take


def prediction_of_survivors(
    parts: Parts, draws: Draws, candidates: Candidates, rows: Tensor | None, x: State, prediction: Prediction | None
) -> Prediction | None:
    """What the reference says of those rows of the candidates that survive, x (B · K, ...), and are not finished; None
    at T, and where there is none.

    prediction: of the candidates whose value was asked for, where the value has read it. Where nobody has, or the
    proposal has its own way to call, the survivors alone are predicted now, and only their rows of the cache are
    gathered. No cache is kept where no call follows.
    """
    if candidates.final:
        return None
    moving = moving_rows(take(candidates.finished, rows))
    if moving is not None:
        x, rows = take(x, moving), moving if rows is None else take(rows, moving)
        if not len(rows):
            return None
    parents = rows if draws.parents is None else take(draws.parents, rows)
    if prediction is None or (parts.proposal.needs_gradient and candidates.shape[2] > 1):
        previous = draws.previous if draws.previous is not None and draws.previous.has_cache else None
        return parts.proposal.predict(parts.reference, x, candidates.t, take(previous, parents))
    if draws.values is not None and rows is not None:
        rows = (draws.values.isnan().cumsum(dim=0) - 1)[rows]
    kept = parts.keep(prediction, candidates.t)
    if kept.cache is not None and candidates.t + 1 == parts.num_steps:
        kept = replace(kept, cache=None)
    kept = take(kept, rows)
    if candidates.shape[2] == 1:  # `predict` has completed it
        return kept
    before = None if draws.previous is None else replace(kept, policy=take(draws.previous.policy, parents))
    return parts.proposal.complete(kept, x, candidates.t, before)
