"""Which method wins at which budget, and from how many texts on a training pays."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.common.estimates import apart
from benchmarks.stories_budget.rows import BUDGETS, FREE, TRAINED

Point = tuple[float, float]  # what a text costs, and its figure of the reward


def trained(own: dict[str, Any]) -> tuple[str, ...]:
    """What is learned for a task, as far as it is measured."""
    return tuple(name for name in TRAINED if name in own)


def is_measured(own: dict[str, Any]) -> bool:
    """Whether a task has what needs no training, and something learned to hold against it."""
    return all(name in own for name in ("truth", *FREE)) and bool(trained(own))


def winners(own: dict[str, Any], budget: int) -> list[str]:
    """The methods, the best first, that cannot be told from the best at 95 %."""
    figures = {name: tuple(own[name]["budgets"][str(budget)]["figure"]) for name in (*FREE, *trained(own))}
    ordered = sorted(figures, key=lambda name: -figures[name][0])
    return [name for name in ordered if name == ordered[0] or not apart(figures[ordered[0]], figures[name])]


def nearest_bound(own: dict[str, Any], budget: int) -> str | None:
    """The method whose mean of log Ẑ, which is below log Z, is the largest; None where a group of each died."""
    rows = {name: own[name]["budgets"][str(budget)] for name in (*FREE, *trained(own))}
    bounds = {name: row["bound"][0] for name, row in rows.items() if row.get("bound")}
    return max(bounds, key=bounds.__getitem__, default=None)


def points(entry: dict[str, Any], cost: str) -> list[Point]:
    return [(entry["budgets"][str(budget)][cost], entry["budgets"][str(budget)]["figure"][0]) for budget in BUDGETS]


def cost_of(figure: float, curve: Sequence[Point]) -> float:
    """What a text costs where a curve first has this figure, linear in the logarithm of the cost between its points;
    that of the first point for what it exceeds already, infinite for what no point has."""
    if curve[0][1] >= figure:
        return curve[0][0]
    for (low, before), (high, after) in pairwise(curve):
        if before < figure <= after:
            return low * (high / low) ** ((figure - before) / (after - before))
    return math.inf


def cheapest_free(own: dict[str, Any], figure: float, cost: str) -> tuple[str, float]:
    """The training-free method that has this figure for least, and what a text of it then costs."""
    costs = {name: cost_of(figure, points(own[name], cost)) for name in FREE}
    name = min(costs, key=costs.__getitem__)
    return name, costs[name]


def pays_from(own: dict[str, Any], name: str, budget: int) -> float:
    """From how many texts on a training is earned back in seconds of the processor, beside the training-free method
    that has the same figure for least: training/(its seconds - own); infinite where that one is no dearer. Where none
    has the figure at any budget, its seconds are taken for the least of those at the largest budget, and the number is
    an upper bound."""
    row = own[name]["budgets"][str(budget)]
    _, seconds = cheapest_free(own, row["figure"][0], "cpu_seconds")
    if math.isinf(seconds):
        seconds = min(points(own[each], "cpu_seconds")[-1][0] for each in FREE)
    saved = seconds - row["cpu_seconds"]
    return own[name]["trained"]["cpu_seconds"] / saved if saved > 0 else math.inf
