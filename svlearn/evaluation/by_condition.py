"""Runs under several conditions: the groups of each on their own, and the figures of all together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from svlearn.evaluation.summary import GROUP_FIGURES, QUANTILES, Floats, reward_figures, standard_error
from svlearn.inference.samples import History, Samples
from svlearn.metering import Cost

INTERVALS = [f"{name}_{end}" for name in ("mean_reward", *QUANTILES) for end in ("low", "high")]


def split(samples: Samples, number: int) -> list[Samples]:
    """The samples of each of `number` conditions, whose groups are as many and consecutive; costs shared out alike."""
    size = len(samples.log_weights) // number
    return [_groups(samples, slice(place * size, (place + 1) * size), 1 / number) for place in range(number)]


def joined(parts: Sequence[Any], number: int = 1) -> Any:
    """Runs of the same `number` conditions as one, in which the groups of each condition are again consecutive: of
    `Samples`, or of rows (N, ...), a state or an array of NumPy."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Samples):
        histories = [part.history for part in parts]
        fields_of = [(each.name, [getattr(history, each.name) for history in histories]) for each in fields(History)]
        history = History(**{name: _joined(values, number) for name, values in fields_of})
        own = ("states", "rewards", "log_weights", "log_normalizer")
        columns = {name: _joined([getattr(part, name) for part in parts], number) for name in own}
        return Samples(**columns, cost=sum((part.cost for part in parts), Cost()), history=history)
    return _joined(parts, number)


def _joined(parts: Sequence[Any], number: int) -> Any:
    first = parts[0]
    if first is None or isinstance(first, int):
        return first
    if isinstance(first, tuple):
        return tuple(_joined(each, number) for each in zip(*parts, strict=True))
    sizes = [len(part) // number for part in parts]
    rows = [
        part[place * size : (place + 1) * size]
        for place in range(number)
        for part, size in zip(parts, sizes, strict=True)
    ]
    return np.concatenate(rows) if isinstance(first, np.ndarray) else torch.cat(rows)


def moved(samples: Samples, device: torch.device) -> Samples:
    """Samples with their history on a device."""

    def to(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(map(to, part))
        return part.to(device) if hasattr(part, "to") else part

    history = replace(
        samples.history, **{each.name: to(getattr(samples.history, each.name)) for each in fields(History)}
    )
    own = ("states", "rewards", "log_weights", "log_normalizer")
    return replace(samples, history=history, **{name: to(getattr(samples, name)) for name in own})


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
