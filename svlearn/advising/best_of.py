"""The best of n plain samples, for every n at once, from one set of draws: the baseline of every sampler."""

import math

import numpy as np
from scipy.special import gammaln

from svlearn.arguments import real
from svlearn.evaluation.summary import Floats


def best_of_weights(size: int, number: int) -> Floats:
    """C(i - 1, n - 1)/C(m, n), i = 1 ... m = size: the probability that the i-th smallest of m is the largest of n of
    them, drawn without replacement; float64."""
    places = np.arange(1, size + 1, dtype=np.float64)
    inside = places >= number
    log_ways = gammaln(places[inside]) - gammaln(number) - gammaln(places[inside] - number + 1)
    log_all = gammaln(size + 1) - gammaln(number + 1) - gammaln(size - number + 1)
    weights = np.zeros(size)
    weights[inside] = np.exp(log_ways - log_all)
    return weights


def best_of(rewards: Floats, number: float) -> tuple[float, float]:
    """E[max of n] of independent rewards (m,), reward units, and its standard error.

    The mean of the largest over all subsets of n of them, which is unbiased for whole n <= m (a U-statistic). Between
    whole numbers it is linear: that of a sampler that takes one more with the probability of the fraction, and costs n
    on average. The error is the jackknife's; NaN where n > m - 1. number: n >= 1.
    Raises ValueError for n < 1 and for n > m.
    """
    number, size = real(number, "number", least=1), len(rewards)
    if number > size:
        raise ValueError(f"number: expected at most the {size} rewards that there are, got {number:g}")
    ordered = np.sort(np.asarray(rewards, dtype=np.float64))
    estimate = float(_interpolated(size, number) @ ordered)
    if number > size - 1:
        return estimate, math.nan
    weights = _interpolated(size - 1, number)
    nothing = np.zeros(1)
    below = np.concatenate([nothing, np.cumsum(weights * ordered[:-1])])
    above = np.concatenate([np.cumsum((weights * ordered[1:])[::-1])[::-1], nothing])
    left_out = below + above  # the estimate without the j-th smallest
    return estimate, float(math.sqrt((size - 1) / size * np.square(left_out - left_out.mean()).sum()))


def _interpolated(size: int, number: float) -> Floats:
    low, share = int(number), number - int(number)
    weights = (1 - share) * best_of_weights(size, low)
    return weights + share * best_of_weights(size, low + 1) if share > 0 else weights
