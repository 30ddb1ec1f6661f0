"""Estimates, each with one standard error, and whether two of them differ."""

import math

NORMAL = 1.96  # standard errors to each side of a 95 % interval

Estimate = tuple[float, float]


def gap(one: Estimate, other: Estimate) -> Estimate:
    """The first less the second, of independent estimates."""
    return one[0] - other[0], math.hypot(one[1], other[1])


def apart(one: Estimate, other: Estimate, errors: float = NORMAL) -> bool:
    """Whether they differ by more than so many standard errors, by default at 95 %."""
    difference, error = gap(one, other)
    return abs(difference) > errors * error
