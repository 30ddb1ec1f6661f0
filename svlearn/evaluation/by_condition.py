"""Runs under several conditions: the groups of each on their own, and the figures of all together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from svlearn.evaluation.summary import GROUP_FIGURES, QUANTILES, Floats, reward_figures, standard_error
from svlearn.inference.samples import Samples

INTERVALS = [f"{name}_{end}" for name in ("mean_reward", *QUANTILES) for end in ("low", "high")]


def split(samples: Samples, number: int) -> list[Samples]:
    """The samples of each of `number` conditions, whose groups are as many and consecutive; costs shared out alike."""
    size = len(samples.log_weights) // number
    return [_groups(samples, slice(place * size, (place + 1) * size), 1 / number) for place in range(number)]


def figures_of_all(rewards: Floats, parts: Sequence[Mapping[str, float]], rng: np.random.Generator) -> dict[str, float]:
    """The figures of rewards (S, C · N), reward units, of C conditions whose own figures are the parts.

    Means are over all samples. Their errors are those of these very conditions, √(Σ_c s_c²)/C of the means in each;
    with one sample a condition the error is over all samples, which is too large for them. There is no log Z: that of
    different conditions is not one number. Intervals are left to the conditions.
    """
    figures = reward_figures(rewards, rng) | dict.fromkeys(INTERVALS, math.nan)
    number = len(parts)

    def error_of(name: str) -> float:
        return math.hypot(*(part[name] for part in parts)) / number

    error = error_of("mean_reward_standard_error")
    figures["mean_reward_standard_error"] = standard_error(rewards.ravel()) if math.isnan(error) else error
    if figures["minus_infinity_fraction"] == 0:
        figures["mean_finite_reward_standard_error"] = figures["mean_reward_standard_error"]
    figures |= dict.fromkeys(GROUP_FIGURES, math.nan)
    for name in ("weighted_mean_reward", "dead_group_fraction"):
        figures[name] = sum(part[name] for part in parts) / number
    figures["weighted_mean_reward_standard_error"] = error_of("weighted_mean_reward_standard_error")
    return figures


def _groups(samples: Samples, rows: slice, share: float) -> Samples:
    happened = samples.history
    history = replace(happened, **{each.name: _of(happened, each.name, rows) for each in fields(happened)})
    parts = {name: _of(samples, name, rows) for name in ("states", "rewards", "log_weights", "log_normalizer")}
    return Samples(**parts, cost=samples.cost.share(share), history=history)


def _of(holder: Any, name: str, rows: slice) -> Any:
    """The rows of a part: of a batch, of each of several, or what has none."""
    part = getattr(holder, name)
    if isinstance(part, tuple):
        return tuple(each[rows] for each in part)
    return part if part is None or isinstance(part, int) else part[rows]
