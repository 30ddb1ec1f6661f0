"""What a candidate multiplies the weight of its particle by, and its value, from a prediction or from (x, t) alone."""

from functools import partial

import torch
from torch import Tensor

from svlearn.inference.finished import score_once
from svlearn.inference.overlap import predict_and_value
from svlearn.inference.particles import Draws
from svlearn.inference.parts import Parts
from svlearn.inference.selection import Candidates
from svlearn.process import Prediction, predict
from svlearn.state import State, device_of_state, take, times
from svlearn.targets import check_no_nan
from svlearn.values.children import evaluate_children
from svlearn.values.value import Zero, at_time, evaluate


def predict_and_evaluate(
    parts: Parts, draws: Draws, t: int, generator: torch.Generator
) -> tuple[Tensor, Prediction | None]:
    """v_t of candidates x_t, r at T, (N,); and the reference's prediction of those that the value was asked for, which
    is of all whose value was not known, where the value reads it."""
    if t == parts.num_steps:
        return score_once(partial(values_of, parts, t=t, prediction=None, generator=generator), draws), None
    if draws.values is None:
        return _evaluated(parts, draws, None, t, generator)
    rows = draws.values.isnan().nonzero().squeeze(1)
    if not len(rows):
        return draws.values, None
    values, prediction = _evaluated(parts, draws, rows, t, generator)
    return draws.values.index_copy(0, rows, values.double()), prediction


def _evaluated(
    parts: Parts, draws: Draws, rows: Tensor | None, t: int, generator: torch.Generator
) -> tuple[Tensor, Prediction | None]:
    """v_t of these rows of the candidates, and their prediction, where the value reads it and not their parents'."""
    value, x = at_time(parts.value, t), take(draws.x, rows)
    if draws.previous is not None and parts.asks_parents(t):
        return evaluate_children(value, x, t, draws.previous, take(draws.parents, rows)), None
    if not value.reads(t):
        return values_of(parts, x, t, None, generator), None
    previous, parents, alone = draws.previous, take(draws.parents, rows), draws.shape[2] == 1
    moments = times(t, x.shape[0], device_of_state(x))
    if value.asynchronous:
        look = partial(parts.proposal.predict if alone else predict, parts.reference)
        prediction, values = predict_and_value(look, value, x, moments, previous, parents)
        return values, prediction
    if alone:
        when = t if parts.proposal.needs_gradient else moments  # it calls the value, too
        prediction = parts.proposal.predict(parts.reference, x, when, take(previous, parents))
    else:  # a loser needs nothing but its value
        prediction = predict(parts.reference, x, moments, previous, parents=parents)
    return evaluate(value, x, moments, prediction, generator=generator), prediction


def values_of(parts: Parts, x: State, t: int, prediction: Prediction | None, generator: torch.Generator) -> Tensor:
    """v_t(x), or r(x) at T (0 where there is no target), (N,)."""
    if t < parts.num_steps:
        return evaluate(parts.value, x, t, prediction, generator=generator)
    if parts.target is not None:
        return parts.target(x)
    check_no_nan(x, t)
    return evaluate(Zero(), x, t)


def weighed(
    parts: Parts, draws: Draws, values: Tensor, t: int, retained: bool = False, finished: Tensor | None = None
) -> Candidates:
    """The candidates with log w_t - log w_{t-1} = (λ_t v_t - λ_{t-1} v_{t-1})/α + log p_ref - log q, from their values
    (N,); nothing is weighed where there is no target, or alpha = 0."""
    target, final, weights, exponents = parts.target, t == parts.num_steps, draws.weights, draws.exponents
    batch_size, size = weights.shape
    values, before = values.view(batch_size, size, -1), draws.log_twists.view(batch_size, size, 1)
    if draws.log_ratio is not None:
        before = before - draws.log_ratio.view(values.shape)
    if target is None or target.alpha == 0:
        increments = twists = torch.zeros_like(values, dtype=torch.float64)
    else:
        twists = values.double() / target.alpha
        if parts.tempering is not None:
            arguments = (t, exponents, weights.read(), -before.expand_as(twists), twists)
            exponents = torch.ones_like(exponents) if final else parts.tempering(*arguments)
            twists = exponents[:, None, None] * twists
        increments = twists - before
    return Candidates(values, increments, weights, twists, exponents, t, final, retained, draws.x, finished)
