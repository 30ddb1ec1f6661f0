"""From how many samples training pays: against what is known in closed form."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from svlearn.advising.break_even import break_even
from svlearn.advising.estimates import Baseline, Estimate


def best_of_normal(number):
    """E[max of n] of N(0, 1), linear between whole numbers."""

    def whole(n):
        def density(z):
            return n * z * stats.norm.pdf(z) * stats.norm.cdf(z) ** (n - 1)

        return integrate.quad(density, -10, 10, limit=200)[0]

    low, share = int(number), number - int(number)
    return (1 - share) * whole(low) + (share * whole(low + 1) if share else 0.0)


def test_it_is_what_the_others_pay_for_the_same_reward():
    """r ~ N(1.5, 1) at the price 1.2 against the best of n of N(0, 1) at 1 each: c* where E[max] = 1.5."""
    rng = np.random.default_rng(0)
    result = break_even(rng.normal(1.5, 1, 4000), 1.2, 500.0, Baseline(rng.normal(0, 1, 20000), 1.0))
    same = optimize.brentq(lambda number: best_of_normal(number) - 1.5, 2, 30)
    truth = 500.0 / (same - 1.2)
    assert result.low < truth < result.high
    assert result.high / result.low < 1.3 and result.samples == pytest.approx(truth, rel=0.1)


def test_another_sampler_without_training_is_an_alternative_from_its_price_on():
    rng = np.random.default_rng(1)
    rewards, plain = rng.normal(1.5, 0.1, 400), Baseline(rng.normal(0, 1, 4000), 1.0)
    other = (rng.normal(2.0, 0.1, 400), 3.0)
    result = break_even(rewards, 1.0, 100.0, plain, [other])
    assert result.samples == pytest.approx(100.0 / (3.0 - 1.0), rel=1e-6)


def test_what_is_as_good_for_nothing_is_never_paid_back():
    rng = np.random.default_rng(2)
    result = break_even(rng.normal(-1, 1, 400), 1.0, 10.0, Baseline(rng.normal(0, 1, 4000), 1.0))
    assert result.samples is None and math.isinf(result.high) and "as good" in result.reason


def test_where_best_of_n_is_not_known_the_number_is_an_upper_bound():
    rng = np.random.default_rng(3)
    result = break_even(rng.normal(9, 1, 400), 1.0, 1000.0, Baseline(rng.normal(0, 1, 400), 1.0))
    assert result.samples == pytest.approx(1000.0 / (100 - 1.0)) and result.reason == "at most"


@pytest.mark.slow
def test_the_intervals_hold_the_truth_as_often_as_they_say():
    """1200 runs, of which 90 % ± 3 % hold the true gain (3.5 standard errors), and 150 of which 84 % to 96 % the true
    break-even."""
    rng = np.random.default_rng(4)
    gain = 1.3 - best_of_normal(4)
    same = optimize.brentq(lambda number: best_of_normal(number) - 1.3, 2, 30)
    even = 300.0 / (same - 1.0)
    held, both = 0, 0
    for run in range(1200):
        rewards, plain = rng.normal(1.3, 0.8, 60), Baseline(rng.normal(0, 1, 300), 1.0)
        estimate = plain.gain(rewards, 4.0)
        held += estimate.low < gain < estimate.high
        if run < 150:
            result = break_even(rewards, 1.0, 300.0, plain)
            both += result.low <= even <= result.high
    assert 0.87 < held / 1200 < 0.93
    assert 0.84 <= both / 150 <= 0.96


def test_an_estimate_is_welchs():
    one, other = np.random.default_rng(5).normal(0, [[1.0], [3.0]], (2, 12))
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    pair = [(each.mean(), each.std(ddof=1) / math.sqrt(12), 12.0) for each in (one, other)]
    estimate = Estimate.of_difference(*pair)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.lower_bound(0.05) == pytest.approx(estimate.low)
