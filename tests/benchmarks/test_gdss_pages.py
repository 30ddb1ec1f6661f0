"""The pages of GDSS unguided and of what it costs: each says what was found, and what was found meets its marks."""

import pytest

from benchmarks.gdss_baseline import run as baseline
from benchmarks.gdss_step import run as step


def test_the_unguided_quantiles_are_those_of_the_authors_code():
    """0.76 and 0.81 lie in the 95 % intervals of v1's quantiles."""
    figures = baseline.RESULTS.read()["rows"]["v1"]["figures"]
    for level, published in ((80, 0.76), (90, 0.81)):
        low, high = (figures[f"reward_quantile_{level}_{end}"] for end in ("low", "high"))
        assert low <= published <= high


def test_what_was_measured_is_what_the_sides_cost():
    """M for the corrector and 1 for the predictor a step, M - 1 more for the start; x_T is called by none."""
    held = step.RESULTS.read()
    number, steps = held["candidates"], held["steps"]
    calls = {side: sides["reference_calls"] for side, sides in held["sides"].items()}
    corrected = (number + 1) + (number - 1) / steps
    assert list(calls) == list(step.SIDES)
    for side in ("SVDD-PM", "SVDD-PM, one after the other", "SVDD-PM, nothing remembered"):
        assert calls[side] == pytest.approx(corrected)
    assert calls["SVDD-PM, both steps' candidates"] == pytest.approx(2 * number)
    assert calls["pretrained"] == calls["SVDD-MC, M = 10"] == calls["SVDD-MC, M = 100"] == pytest.approx(2.0)
    sides = held["sides"]
    assert sides["SVDD-PM, nothing remembered"]["built"] > sides["SVDD-PM"]["built"]


def test_the_networks_meet_what_was_aimed_for():
    networks = step.NETWORKS.read()
    for entry in networks["checkpoints"].values():
        assert entry["sides"]["one cut for both networks"]["wall_ms"] <= networks["wanted_ms"]
        assert entry["largest_difference"] < 1e-4
