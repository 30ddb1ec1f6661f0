"""The figures of a sampler against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from svlearn.evaluation.summary import (
    OWN_FIGURES,
    cost_figures,
    gather_groups,
    group_figures,
    interval,
    quantile,
    reward_figures,
    standard_error,
)
from svlearn.inference.samples import History, Samples
from svlearn.metering import Cost


def samples_of(rewards, weights, log_normalizer=None):
    rewards, weights = torch.tensor(rewards, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
    estimate = None if log_normalizer is None else torch.tensor(log_normalizer, dtype=torch.float64)
    ess = torch.tensor([[2.0, 1.0, 1.5], [2.0, 2.0, 0.5]], dtype=torch.float64)[: len(rewards)]
    history = History(ess, torch.zeros_like(ess) > 0)
    return Samples(rewards.unsqueeze(-1), rewards, weights.log(), estimate, Cost(), history)


def test_mean_standard_error_and_quantiles_by_hand():
    # 1 ... 5 and 6 ... 10: mean 5.5, variance 82.5 / 9, so s.e. √(82.5 / 90); quantile 0.8 at place 7.2: 8.2
    figures = reward_figures(np.arange(1.0, 11.0).reshape(2, 5), np.random.default_rng(0))
    assert figures["mean_reward"] == 5.5
    assert figures["mean_reward_standard_error"] == pytest.approx(math.sqrt(82.5 / 90), rel=1e-14)
    assert figures["reward_quantile_80"] == pytest.approx(8.2, rel=1e-14)
    assert figures["reward_quantile_90"] == pytest.approx(9.1, rel=1e-14)
    assert figures["minus_infinity_fraction"] == 0
    assert figures["mean_finite_reward"] == figures["mean_reward"]
    assert figures["mean_reward_spread_over_seeds"] == pytest.approx(5 / math.sqrt(2), rel=1e-14)  # means 3 and 8


@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-600, 2.0**600, 2.0**1000])
def test_a_standard_error_is_right_where_squares_are_0_or_infinite(scale):
    values = np.random.default_rng(0).normal(size=50)
    assert standard_error(values * scale) == standard_error(values) * scale
    assert standard_error(np.full(3, scale)) == standard_error(np.zeros(3)) == 0


def test_rewards_of_minus_infinity_are_counted_not_hidden():
    figures = reward_figures(np.array([[-np.inf, 1.0, 2.0, 3.0, -np.inf]]), np.random.default_rng(0))
    assert figures["mean_reward"] == -math.inf
    assert figures["mean_reward_low"] == figures["mean_reward_high"] == -math.inf
    assert math.isnan(figures["mean_reward_standard_error"])
    assert figures["minus_infinity_fraction"] == 0.4
    assert figures["mean_finite_reward"] == 2
    assert figures["mean_finite_reward_standard_error"] == pytest.approx(1 / math.sqrt(3), rel=1e-14)
    assert figures["reward_quantile_80"] == pytest.approx(2.2, rel=1e-14)
    assert figures["reward_quantile_90_low"] <= figures["reward_quantile_90_high"] == 3
    assert math.isnan(figures["mean_reward_spread_over_seeds"])


def test_only_minus_infinity_leaves_no_finite_mean():
    figures = reward_figures(np.full((1, 3), -np.inf), np.random.default_rng(0))
    assert figures["minus_infinity_fraction"] == 1 and math.isnan(figures["mean_finite_reward"])
    assert figures["reward_quantile_80"] == figures["reward_quantile_80_high"] == -math.inf


def test_quantile_between_minus_infinity_and_a_number():
    values = np.array([-np.inf, -np.inf, 4.0, 8.0, 9.0])
    expected = {0.0: -np.inf, 0.25: -np.inf, 0.3: -np.inf, 0.45: -np.inf, 0.5: 4.0, 0.625: 6.0, 1.0: 9.0}
    assert {level: float(quantile(values, level)) for level in expected} == expected


def test_one_sample_has_no_uncertainty():
    figures = reward_figures(np.array([[2.0]]), np.random.default_rng(0))
    assert figures["mean_reward"] == figures["reward_quantile_90"] == 2
    assert math.isnan(figures["mean_reward_standard_error"]) and math.isnan(figures["mean_reward_low"])
    assert math.isnan(standard_error(np.array([2.0])))


def test_equal_rewards_have_an_interval_of_no_width():
    figures = reward_figures(np.full((1, 6), 0.5), np.random.default_rng(0))
    assert figures["mean_reward_low"] == figures["mean_reward_high"] == figures["reward_quantile_80_high"] == 0.5


def test_bootstrap_of_two_values_is_the_law_of_resampled_means():
    # resampled means of {0, 1}: 0, ½, 1 with ¼, ½, ¼; the 2.5 % and 97.5 % quantiles are the ends
    assert interval(np.array([0.0, 1.0]), np.mean, np.random.default_rng(0)) == (0.0, 1.0)


def test_bootstrap_interval_of_the_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(size=2000)
    low, high = interval(values, np.mean, np.random.default_rng(2), num_resamples=4000)
    error = values.std(ddof=1) / math.sqrt(2000)
    # a quantile of 4000 draws at 2.5 % has the standard error √(p(1 - p)/4000)/φ(1.96) = 0.042 of theirs
    assert (low - values.mean()) / error == pytest.approx(-1.96, abs=4 * 0.042)
    assert (high - values.mean()) / error == pytest.approx(1.96, abs=4 * 0.042)


@pytest.mark.parametrize(("statistic", "truth"), [("mean", 0.0), ("quantile", 0.8416212335729143)])
def test_bootstrap_intervals_cover_the_truth(statistic, truth):
    rng = np.random.default_rng(5)
    reduce = np.mean if statistic == "mean" else lambda values, axis=-1: quantile(values, 0.8, axis)
    covered = 0
    for _ in range(300):
        low, high = interval(rng.normal(size=100), reduce, rng, num_resamples=400)
        covered += low <= truth <= high
    # the percentile interval is a little short at n = 100 (about 94 %); s.e. of the share: √(0.95 · 0.05 / 300)
    assert covered / 300 == pytest.approx(0.945, abs=4 * math.sqrt(0.95 * 0.05 / 300))


def test_weighted_particles_by_hand():
    # group means 0.25 · 4 + 0.75 · 8 = 7 and, the particle of weight 0 left out, 2; log Z = log((e^1 + e^3) / 2)
    run = samples_of([[4.0, 8.0], [2.0, -math.inf]], [[0.25, 0.75], [1.0, 0.0]], [1.0, 3.0])
    groups = gather_groups([run])
    figures = group_figures(groups)
    assert figures["weighted_mean_reward"] == 4.5
    assert figures["weighted_mean_reward_standard_error"] == 2.5
    assert figures["dead_group_fraction"] == 0
    assert figures["log_normalizer_nats"] == pytest.approx(math.log((math.e + math.e**3) / 2), rel=1e-14)
    relative = (math.e**3 - math.e) / (math.e**3 + math.e)  # s/√2 over the mean, of two numbers
    assert figures["log_normalizer_standard_error_nats"] == pytest.approx(relative, rel=1e-14)


def test_a_dead_group_is_reported_and_weighs_on_log_z():
    run = samples_of([[4.0, 8.0], [-math.inf, -math.inf]], [[0.25, 0.75], [0.0, 0.0]], [1.0, -math.inf])
    figures = group_figures(gather_groups([run, run]))
    assert figures["weighted_mean_reward"] == 7 and figures["weighted_mean_reward_standard_error"] == 0
    assert figures["dead_group_fraction"] == 0.5
    assert figures["log_normalizer_nats"] == pytest.approx(1 - math.log(2), rel=1e-14)


def test_a_single_particle_has_no_weighted_figures():
    figures = group_figures(gather_groups([samples_of([[4.0], [8.0]], [[1.0], [1.0]], [0.0, 0.0])]))
    assert math.isnan(figures["weighted_mean_reward"]) and math.isnan(figures["dead_group_fraction"])
    assert figures["log_normalizer_nats"] == 0


def test_costs_are_per_sample():
    figures = cost_figures(Cost(reference_calls=30, reward_calls=5, seconds=2.0, peak_memory_bytes=3 * 2**20), 10)
    assert figures["reference_calls_per_sample"] == 3 and figures["reward_calls_per_sample"] == 0.5
    assert figures["value_calls_per_sample"] == 0
    assert figures["seconds_per_sample"] == 0.2 and figures["peak_memory_mib"] == 3
    assert figures.keys() < OWN_FIGURES
