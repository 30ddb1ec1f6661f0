"""States that are finished before T stand still: nobody draws, values or predicts them again.

A finished state steps to itself with log p_ref = log q = 0. Its v_t stays what the value said when it was first
finished, so that its weight stays too, until at T the reward takes the value's place: log-weights telescope over
whatever values a particle was given, so they are right for any value. One that reads the prediction has the reference
called once more for it, as for every candidate that is scored.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from svlearn.inference import indices
from svlearn.inference.particles import Draws, Particles
from svlearn.moving import moving_rows, spread
from svlearn.process import Prediction
from svlearn.state import State, take


def draw_moving(draw: Callable[[State, Prediction, Tensor | None], Draws], particles: Particles, copies: int) -> Draws:
    """Candidates, `copies` of each particle: draw(x, prediction, rows) of those that are not finished, rows None where
    these are all; and copies of the finished ones, with the value that they have."""
    rows = moving_rows(particles.finished)
    if rows is None:
        return draw(particles.x, cast(Prediction, particles.prediction), None)
    finished, values = cast(Tensor, particles.finished), cast(Tensor, particles.values)
    parents = indices.parents(len(finished), copies, finished.device)
    x, values = take(particles.x, parents), torch.where(finished, values.double(), torch.nan)[parents]
    before = particles.log_twists, particles.weights, particles.exponents
    every = Draws(x, None, *before, values=values, finished=finished[parents])
    if particles.prediction is None:
        return every
    drawn = draw(take(particles.x, rows), particles.prediction, rows)
    places = (rows[:, None] * copies + torch.arange(copies, device=rows.device)).flatten()
    x[places] = drawn.x
    if drawn.values is not None:
        values[places] = drawn.values.double()
    log_ratio = None if drawn.log_ratio is None else spread(drawn.log_ratio, places, len(parents))
    origin = indices.count_up(len(rows), rows.device) if drawn.parents is None else drawn.parents
    return replace(every, log_ratio=log_ratio, previous=drawn.previous, parents=spread(origin, places, len(parents)))


def score_once(score: Callable[[State], Tensor], draws: Draws) -> Tensor:
    """score(x) (N,) of all candidates, where the copies of a finished particle are scored as one."""
    copies = draws.shape[2]
    if draws.finished is None or copies == 1:
        return score(draws.x)
    number = indices.count_up(len(draws.finished), draws.finished.device)
    scored = ~draws.finished | (number % copies == 0)
    return score(take(draws.x, scored.nonzero().squeeze(1)))[scored.cumsum(dim=0) - 1]
