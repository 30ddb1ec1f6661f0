"""From how many samples on training pays."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from svlearn.advising.estimates import CONFIDENCE, Baseline, drawn
from svlearn.evaluation.summary import Floats

MOST = 1e9  # samples
GRID, BISECTIONS = 200, 40


@dataclass(frozen=True)
class BreakEven:
    """The number of samples from which a trained sampler pays, None where it never does; its interval of `CONFIDENCE`,
    whose upper end is infinite where the draws cannot exclude that it never pays; and what decides, in words."""

    samples: float | None
    low: float
    high: float
    reason: str


def break_even(
    rewards: Floats,
    price: float,
    training: float,
    baseline: Baseline,
    others: Sequence[tuple[Floats, float]] = (),
) -> BreakEven:
    """The least N from which on E[r] exceeds what nothing trained reaches at the price p + P/N of a sample.

    rewards (n,) of draws of the trained sampler, each at the price p = `price`, and P = `training` once; baseline: the
    plain samples, of which best-of-N is made; others: draws and price of other samplers that need no training. What
    these reach at a price c is R(c), the largest among best-of-(c/price of one) and those of a price of at most c. It
    rises, so N pays where

        E[r] > R(p + P/N),

    the same N as P/(c* - p), c* the least price at which the others reach E[r]. The interval holds the N that a test of
    each of its sides does not refuse; the prices are taken as exact. Where best-of-N is not known as far as N = 1 asks
    (see `Baseline.most`), the least N that is looked at is the one where it is.
    """
    own = drawn(rewards, baseline.turn)
    known = [(drawn(each, baseline.turn), cost) for each, cost in others]
    first = max(1.0, training / max(baseline.most * baseline.price - price, training / MOST))

    def margin(number: float, reach: float) -> float:
        """The least of what the trained sampler has over each other, less `reach` standard errors."""
        at = price + training / number
        rivals = [baseline.at(at), *(rival for rival, cost in known if cost <= at)]
        return min(own[0] - rival[0] - reach * math.hypot(own[1], rival[1]) for rival in rivals)

    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    point, low, high = (_last_crossing(partial(margin, reach=z), first) for z in (0.0, -reach, reach))
    if math.isinf(point):
        return BreakEven(None, low, high, "what needs no training is as good at the price of one of its samples")
    return BreakEven(point, min(low, point), high, "at most" if point == first > 1 else "")


def _last_crossing(function: Callable[[float], float], first: float) -> float:
    """The least N of first ... MOST from which on a function is above 0; infinite where there is none."""
    grid = np.geomspace(first, max(MOST, 2 * first), GRID)
    below = [place for place, number in enumerate(grid) if not function(float(number)) > 0]
    if not below:
        return float(first)
    if below[-1] == len(grid) - 1:
        return math.inf
    low, high = float(grid[below[-1]]), float(grid[below[-1] + 1])
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return high
