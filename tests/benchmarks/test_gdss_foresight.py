"""The page of what a choice gains: it is that of its results, its sums by hand, and its two readings of a curve."""

import math

import pandas as pd
import pytest

from benchmarks.gdss_foresight import page as pages

STEPS = [1, 101, 201, 241, 281, 321, 361]


def columns(gains, correlations):
    """A result: gains and correlations of each value at each of the steps, errors 0.3 and 0.4 by turns."""
    rows = [
        (t, name, gains[name][place], (0.3, 0.4)[place % 2], correlations[name][place])
        for place, t in enumerate(STEPS)
        for name in gains
    ]
    frame = pd.DataFrame(rows, columns=["t", "value", "gain", "gain_error", "pearson"])
    return {name: frame[name].tolist() for name in frame}


@pytest.fixture
def held():
    twist, free = pages.TWIST, pages.FREE
    gains = {
        "SVDD-MC": [0.0] * 7,
        twist: [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        free: [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 2.0],
    }
    gains_of = {"SVDD-MC": [0.1] * 7, twist: [0.3] * 7, free: [0.0] * 6 + [0.8]}
    return {"trajectories": 9, "rewards": {"QED": columns(gains, gains_of)}}


def test_it_hands_over_where_the_sums_are_largest(held):
    """By gains after t = 241, by correlations not before the last step; of MC, of no gain, where r(x̂_T) has one."""
    gains = pd.DataFrame(held["rewards"]["QED"])
    assert pages.start(gains, pages.TWIST, "gain") == 281 and pages.start(gains, pages.TWIST, "pearson") == 361
    assert pages.start(gains, "SVDD-MC", "gain") == 241
    assert pages.total(gains, pages.TWIST, 0, 280) == (4.0, pytest.approx(math.sqrt(2 * 0.3**2 + 2 * 0.4**2)))


def test_the_page_says_both(held):
    """From 281 the sum changes by -1 ± 0.5 at 321, by -0.5 ± 0.6 at 241 and by -1.5 ± 0.7 at 201."""
    text = pages.page(held, {})
    assert "twist** should hand over at t = 281 by its gains, which do not tell that from 241 to 281 at 95 %;" in text
    assert "by correlations it would at 361. All its choices until 280 gain 4.0 ± 0.7, and those" in text
    assert (
        "| SVDD-PM | +0.0 ± 0.3 | +0.0 ± 0.4 | +0.0 ± 0.3 | +0.5 ± 0.4 | +1.0 ± 0.3 | +1.0 ± 0.4 | +2.0 ± 0.3 |" in text
    )


def test_without_results_it_says_what_to_run():
    assert "run `python -m benchmarks gdss_foresight`" in pages.page({"trajectories": 9, "rewards": {}}, {})
