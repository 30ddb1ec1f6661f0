"""The figures' bins, colours and numbers, for rewards as hard as float64 has them."""

import math

import numpy as np
import pytest

from svlearn.evaluation.comparison import Comparison
from svlearn.evaluation.report.figures import _edges, color_of, is_constraint
from svlearn.evaluation.report.numbers import between, plain, ratio, with_error
from svlearn.evaluation.report.verdict import verdict
from svlearn.evaluation.summary import OWN_FIGURES

ULP = np.spacing(3e-12)
HARD = [
    [0.1 + 0.2, 0.3],
    [3e-12, 3e-12 + ULP],
    [3e-12, 3e-12 + ULP, 5.0],
    [0.3, 0.1 + 0.2, 1.0, 1.0 + 2**-52],
    [1e15, 1e15 + 0.125],
    [1e15, 1e15 + 0.125, -1e15],
    [-1e300, 1e300],
    [5e-324, 0.0],
    [5e-324, 1e-323, -5e-324],
    [0.0, 1e-9, 1.0],
    [1e8 + place * 1e-7 for place in range(40)],
    [0.1 * place for place in range(12)],
    list(np.random.default_rng(0).normal(size=500)),
    [7.0],
    [],
]


def row(mean, **others):
    figures = dict.fromkeys(OWN_FIGURES, math.nan) | {name: 1.0 for name in OWN_FIGURES if "_per_sample" in name}
    figures |= {"mean_reward": mean, "mean_finite_reward": mean, "minus_infinity_fraction": 0.0, "num_samples": 100}
    return {**figures, "policy_calls_per_sample": 0.0, "num_seeds": 1, **others}


@pytest.mark.parametrize("values", HARD, ids=lambda values: f"{len(values)} from {values[:2]}")
def test_bins_are_few_rise_and_hold_every_reward(values, tmp_path):
    values = np.array(values)
    edges = _edges(values)
    assert 2 <= len(edges) <= 201 and bool((np.diff(edges) > 0).all()) and bool(np.isfinite(edges).all())
    assert np.histogram(values, edges)[0].sum() == len(values)
    if not len(values):
        return
    comparison = Comparison({"a": values, "b": values[:1]}, {name: row(float(values[:1].sum())) for name in "ab"})
    assert comparison.to_html(tmp_path / "a.html").stat().st_size < 10**6


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        ([0.0, 1.0], [-0.5, 0.5, 1.5]),
        ([0.0, 1.0, 2.5], [-0.5, 0.5, 1.5, 2.5]),
        ([0.3, 0.1 + 0.2, 0.6], [0.15, 0.45, 0.75]),
        ([2.0, 2.0], [1.0, 3.0]),
    ],
)
def test_a_discrete_reward_has_a_bar_for_each_value(values, edges):
    assert _edges(np.array(values)) == pytest.approx(edges, rel=1e-12)


def test_rewards_near_the_largest_number_are_drawn(tmp_path):
    most = np.finfo(np.float64).max
    comparison = Comparison({"a": np.array([-most, most, most])}, {"a": row(1e300)})
    assert comparison.to_html(tmp_path / "a.html").exists()


def test_numbers_that_cannot_be_drawn_cost_their_figure_alone(tmp_path):
    most = np.finfo(np.float64).max
    figures = {
        "a": row(0.8 * most, mean_reward_standard_error=0.09 * most),
        "b": row(0.0, mean_reward_standard_error=1.0),
    }
    page = Comparison({"a": np.array([0.0, most]), "b": np.zeros(2)}, figures).to_html(tmp_path / "a.html").read_text()
    assert page.count("No figure: ") == 2 and page.count("<svg") >= 1


def test_no_two_samplers_share_a_colour():
    assert len({color_of(place) for place in range(40)}) == 40
    assert all(len(color_of(place)) == 7 for place in range(40))


def test_a_ratio_is_read_without_an_exponent():
    assert [ratio(180.4, 1), ratio(12.34, 1), ratio(1.5, 1), ratio(1, 100), ratio(0, 1)] == [
        *("180", "12.3", "1.50"),
        *("0.01", "0.00"),
    ]
    assert ratio(1, 1e7) == "under 0.0001" and ratio(1e308, 1e-308) is None
    figures = {"a": row(1.0, seconds_per_sample=180.4, reference_calls_per_sample=0.5), "b": row(1.0)}
    assert verdict(figures, "a", "b").endswith("with 0.50 of its reference calls and 180 times its seconds.")


def test_numbers_with_the_smallest_and_largest_errors():
    assert with_error(3e-320, 5e-324) == "3e-320 ± 4.941e-324"
    assert with_error(1e300, 1e298) == "1e+300 ± 1e+298"
    assert between(-1.7e308, 1.7e308) == "-1.7e+308 to 1.7e+308" and plain(math.nan) == "–"
    assert with_error(0.5, 0.001) == "0.5000 ± 0.0010"


def test_of_a_constraint_the_share_that_meets_it_is_shown(tmp_path):
    constrained = {"minus_infinity_fraction": 0.2, "mean_reward": -math.inf, "mean_finite_reward_standard_error": 0.0}
    figures = {"a": row(0.0, **constrained), "b": row(0.0, **{**constrained, "minus_infinity_fraction": 0.5})}
    assert is_constraint(figures)
    assert not is_constraint({"a": row(0.0)}) and not is_constraint(figures | {"c": row(1.0)})
    rewards = {"a": np.array([0.0] * 80 + [-np.inf] * 20), "b": np.array([0.0] * 50 + [-np.inf] * 50)}
    comparison = Comparison(rewards, figures)
    header, _, first, *_ = comparison.to_markdown().splitlines()
    assert header.split("|")[2].strip() == "Reward finite (%)" and first.split("|")[2].strip() == "80 ± 4"
    page = comparison.to_html(tmp_path / "a.html").read_text()
    assert "Share of finite rewards against" in page and ">-inf<" not in page
    assert comparison.verdicts() == [
        "a has a finite reward in 80.0 % of its samples against 50.0 % for b (difference +30 ± 6: higher, in points) "
        "with 1.00 of its reference calls and 1.00 of its seconds."
    ]
