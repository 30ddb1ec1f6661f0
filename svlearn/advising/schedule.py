"""How many candidates to draw at which step, for a given total."""

import heapq
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import integrate, stats

from svlearn.arguments import integer, real


@cache
def expected_largest(number: int) -> float:
    """E[max of n] of independent N(0, 1): 0, 0.564, 0.846, 1.029, ...; in standard deviations."""
    number = integer(number, "number")
    if number == 1:
        return 0.0

    def density(z: float) -> float:
        return number * z * stats.norm.pdf(z) * stats.norm.cdf(z) ** (number - 1)

    return float(integrate.quad(density, -10.0, 10.0, limit=200)[0])


def candidates_by_step(gains: Sequence[float], total: int, *, most: int = 64) -> list[int]:
    """M_t >= 1 for each of n steps, Σ_t M_t = total, at which choosing gains most.

    gains (n,): what a choice between two candidates gains at each step, as `values.selection_gain` measures it, in
    reward units at the end: what later steps wash away is not in it. A step whose gain is 0 or less keeps one. Of M
    candidates, whose values are Gaussian, the best is worth g_t e(M)/e(2), e = `expected_largest`; gains of several
    steps add up as long as they are small. So this is

        argmax Σ_t max(g_t, 0) e(M_t),   1 <= M_t <= most,

    which is exact one candidate at a time, since e is concave; on ties the earlier step has it. Candidates that no step
    with a gain can take are left out: the sum is then less than the total.
    Raises ValueError for a total below n, and for gains that are not finite.
    """
    known = [max(0.0, real(each, "gains")) for each in np.asarray(gains, dtype=np.float64).tolist()]
    if not known:
        raise ValueError("gains: expected at least one step, got none")
    total, most = integer(total, "total", len(known)), integer(most, "most")
    numbers = [1] * len(known)
    waiting = [(-gain * expected_largest(2), place) for place, gain in enumerate(known) if gain > 0 and most > 1]
    heapq.heapify(waiting)
    for _ in range(total - len(known)):
        if not waiting:
            break
        _, place = heapq.heappop(waiting)
        numbers[place] += 1
        if numbers[place] < most:
            more = expected_largest(numbers[place] + 1) - expected_largest(numbers[place])
            heapq.heappush(waiting, (-known[place] * more, place))
    return numbers
