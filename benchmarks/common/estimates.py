"""Estimates, each with one standard error, and whether two of them differ."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy import stats

NORMAL = 1.96  # standard errors to each side of a 95 % interval

Estimate = tuple[float, float]


def gap(one: Estimate, other: Estimate) -> Estimate:
    """The first less the second, of independent estimates."""
    return one[0] - other[0], math.hypot(one[1], other[1])


def apart(one: Estimate, other: Estimate, errors: float = NORMAL) -> bool:
    """Whether they differ by more than so many standard errors, by default at 95 %."""
    difference, error = gap(one, other)
    return abs(difference) > errors * error


def interval(numbers: Sequence[float]) -> Estimate:
    """The mean, and half the width of its 95 % interval by Student's t; 0 of a single number."""
    if len(numbers) < 2:
        return fmean(numbers), 0.0
    return fmean(numbers), float(stats.t.ppf(0.975, len(numbers) - 1)) * stdev(numbers) / math.sqrt(len(numbers))


def compared(one: Sequence[float], other: Sequence[float], level: float = 0.05) -> int:
    """-1 where the first are lower, 1 where they are higher, 0 where Welch's test does not tell them apart."""
    if min(len(one), len(other)) < 2 or stats.ttest_ind(one, other, equal_var=False).pvalue >= level:
        return 0
    return -1 if fmean(one) < fmean(other) else 1
