"""compare() with real samplers on the random walk: costs by hand, seeds, what it refuses and what it notes."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from svlearn.evaluation.compare import compare
from svlearn.evaluation.curves import curves
from svlearn.evaluation.diagnosis import diagnose
from svlearn.evaluation.summary import OWN_FIGURES
from svlearn.inference.samplers import ancestral, best_of_n, smc, svdd
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean
from svlearn.values.calibration import calibrate

T = 4
COSTS = ["reference", "value", "reward", "policy", "gradient"]


@pytest.fixture
def samplers(walk, target, value):
    return {
        "pretrained": ancestral(walk, target),
        "best of 3": best_of_n(walk, target, 3),
        "SVDD-MC": svdd(walk, target, value, num_candidates=5),
        "SVDD-PM": svdd(walk, target, PosteriorMean(target), num_candidates=5),
        "SMC": smc(walk, target, value, num_particles=6),
    }


def test_calls_per_sample_by_hand(samplers):
    table = compare(samplers, 7, seed=[1, 2]).table
    calls = table[[f"{kind}_calls_per_sample" for kind in COSTS]]
    assert calls.loc["pretrained"].tolist() == [T, 0, 1, 0, 0]
    assert calls.loc["best of 3"].tolist() == [3 * T, 0, 3, 0, 0]
    assert calls.loc["SVDD-MC"].tolist() == [T, 5 * T, 5, 0, 0]
    assert calls.loc["SVDD-PM"].tolist() == [5 * T, 5 * T, 5 * (T + 1), 0, 0]  # it reads r of every prediction too
    assert calls.loc["SMC"].tolist() == [6 * T, 6 * T, 6, 0, 0]
    assert table["num_samples"].tolist() == [14] * 5 and table["num_seeds"].tolist() == [2] * 5
    assert (table["seconds_per_sample"] > 0).all()


def test_the_table_has_all_figures_and_the_references_own(samplers):
    comparison = compare(samplers, 6)
    table = comparison.table
    assert list(table.index) == list(samplers) and table.index.name == "sampler"
    assert set(table.columns) == OWN_FIGURES | {"positive"}
    for name, rewards in comparison.rewards.items():
        assert table.loc[name, "mean_reward"] == rewards.mean()
        assert table.loc[name, "positive"] == (rewards > 0).mean()  # the reward is the decoded number itself
    has_groups = table["weighted_mean_reward"].notna()
    assert has_groups.tolist() == [False] * 4 + [True]
    assert table["log_normalizer_nats"].notna().tolist() == [False, False, True, True, True]
    assert list(comparison.curves) == list(samplers) and comparison.curves["SMC"]["t"].tolist() == list(range(T + 1))
    assert [bool(frame["ess"].notna().all()) for frame in comparison.curves.values()] == [False] * 4 + [True]
    weighs = [bool(frame["increment_spread"].notna().all()) for frame in comparison.curves.values()]
    assert weighs == [False, False, True, True, True]
    assert comparison.pairs == (("SVDD-MC", "SVDD-PM"), ("SMC", "SVDD-PM"))


def test_a_group_counts_as_one_sample_beside_its_weighted_mean(walk, target, value):
    sampler = smc(walk, target, value, num_particles=6)
    comparison = compare({"smc": sampler}, 50, seed=9)
    generator = seeded("cpu", 9)
    samples = sampler.sample(50, generator=generator)
    drawn = samples.draw_with_rewards(generator=generator)[1]
    assert np.array_equal(comparison.rewards["smc"], drawn.numpy())
    weighted = (samples.log_weights.exp() * samples.rewards).sum(dim=1).mean()
    figures = comparison.figures["smc"]
    assert figures["weighted_mean_reward"] == pytest.approx(float(weighted), rel=1e-12)
    expected = float(samples.log_normalizer.exp().mean().log())
    assert figures["log_normalizer_nats"] == pytest.approx(expected, rel=1e-12)
    pd.testing.assert_frame_equal(comparison.curves["smc"], curves([samples]))
    assert comparison.diagnoses.get("smc", []) == diagnose(samples)


def test_a_diagnosis_reads_the_calibration_of_its_sampler(walk, target, value):
    class Wild(nn.Module):
        def forward(self, x, t):
            return 3 * torch.sin(9 * x.squeeze(1))

    wild = Learned(Wild())
    trajectories = roll_out(walk, 500, target=target, generator=seeded("cpu", 0))
    tables = {name: calibrate(each, walk, trajectories) for name, each in (("good", value), ("bad", wild))}
    samplers = {"good": smc(walk, target, value, 8), "bad": smc(walk, target, wild, 8)}
    texts = compare(samplers, 60, calibrations=tables).diagnoses
    assert "good" not in texts and any("Value miscalibrated after t = 0" in sentence for sentence in texts["bad"])
    untold = compare(samplers, 60).diagnoses
    assert not any("miscalibrated" in sentence for sentence in untold.get("bad", []))


def test_figures_are_right_on_a_known_law(walk, target):
    # x_T ~ N(0, 4); the best of 2 has the mean 2/√π and the variance 4(1 - 1/π)
    table = compare({"one": ancestral(walk, target), "two": best_of_n(walk, target, 2)}, 4000, seed=4).table
    assert table.loc["one", "mean_reward"] == pytest.approx(0, abs=4 * 2 / math.sqrt(4000))
    assert table.loc["two", "mean_reward"] == pytest.approx(2 / math.sqrt(math.pi), abs=4 * 1.66 / math.sqrt(4000))
    # s.e. of the quantile 0.8: 2 √(0.16 / n) / φ(0.8416) with φ = 0.27996
    error = 2 * 0.4 / 0.27996 / math.sqrt(4000)
    assert table.loc["one", "reward_quantile_80"] == pytest.approx(2 * 0.84162, abs=4 * error)


def test_the_seed_decides_everything_but_time(samplers):
    one, again, other = (compare(samplers, 8, seed=seed) for seed in (3, [3], 4))
    timed = ["seconds_per_sample", "peak_memory_mib"]
    pd.testing.assert_frame_equal(one.table.drop(columns=timed), again.table.drop(columns=timed))
    assert not np.array_equal(one.rewards["SMC"], other.rewards["SMC"])
    both = compare(samplers, 8, seed=[3, 4])
    for name in samplers:
        assert np.array_equal(both.rewards[name], np.concatenate([one.rewards[name], other.rewards[name]]))
        means = [each.rewards[name].mean() for each in (one, other)]
        spread = both.figures[name]["mean_reward_spread_over_seeds"]
        assert spread == pytest.approx(abs(means[0] - means[1]) / math.sqrt(2), rel=1e-12)
    cut = compare(samplers, 8, seed=3, max_batch=5)
    assert np.allclose(cut.rewards["SVDD-PM"], one.rewards["SVDD-PM"], rtol=1e-12, atol=0)


def test_a_cache_is_emptied_before_each_run(walk):
    class Cached:
        def __init__(self):
            self.events = []

        def __call__(self, x):
            self.events.append("reward")
            return x.squeeze(1)

        def forget(self):
            self.events.append("forget")

    reward = Cached()
    sampler = ancestral(walk, Target(reward, 1.0))
    compare({"a": sampler, "b": sampler}, 3, seed=[0, 1])
    assert reward.events == ["forget", "reward"] * 4


def test_minus_infinity_rewards_are_reported(walk):
    target = Target(lambda x: torch.where(x.squeeze(1) > 0, x.squeeze(1), -math.inf), alpha=1.0)
    comparison = compare({"free": ancestral(walk, target), "two": best_of_n(walk, target, 2)}, 400)
    figures, rewards = comparison.figures["free"], comparison.rewards["free"]
    assert figures["mean_reward"] == -math.inf
    assert figures["minus_infinity_fraction"] == np.isneginf(rewards).mean()
    assert figures["minus_infinity_fraction"] == pytest.approx(0.5, abs=4 * 0.5 / 20)
    assert figures["mean_finite_reward"] == rewards[rewards > 0].mean()
    assert "has a finite reward in" in comparison.verdict("two", "free")


def test_differences_between_targets_are_said(walk, target):
    other = Target(lambda x: -x.squeeze(1), alpha=2.0)
    with pytest.warns(UserWarning, match="different reward objects"):
        comparison = compare({"a": ancestral(walk, target), "b": ancestral(walk, other)}, 2)
    assert ["reward" in note or "alpha" in note for note in comparison.notes] == [True, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare({"a": ancestral(walk, target), "b": ancestral(walk, target)}, 2).notes == ()
        shifted = compare({"a": ancestral(walk, target), "b": ancestral(type(walk)(), target)}, 2)
    assert len(shifted.notes) == 1 and "different references" in shifted.notes[0]


def test_a_reference_that_shows_nothing(walk, target):
    class Bare(type(walk)):
        decode = Reference.decode
        describe = Reference.describe

    comparison = compare({"a": ancestral(Bare(), target)}, 3)
    assert set(comparison.table.columns) == OWN_FIGURES and comparison.galleries == {}


def test_galleries_hold_the_best_and_some(samplers):
    comparison = compare(samplers, 30)
    for name, gallery in comparison.galleries.items():
        best = np.sort(comparison.rewards[name])[::-1][:8]
        assert [reward for _, reward in gallery.best] == best.tolist()
        assert [each for each, _ in gallery.best] == best.tolist()  # here an object is its own reward
        assert len(gallery.random) == 8 and all(each == reward for each, reward in gallery.random)


def test_what_is_refused(walk, target, samplers):
    with pytest.raises(ValueError, match="samplers: expected at least one"):
        compare({}, 3)
    for number in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1"):
            compare(samplers, number)
    with pytest.raises(ValueError, match=r"samplers\['bare'\]: expected one with a target"):
        compare({**samplers, "bare": ancestral(walk)}, 3)
    with pytest.raises(TypeError, match=r"samplers\['x'\]: expected a Sampler, got Walk"):
        compare({"x": walk}, 3)
    for seeds in ([], [1, 1]):
        with pytest.raises(ValueError, match="seed: expected one integer, or several that differ"):
            compare(samplers, 3, seed=seeds)
    with pytest.raises(ValueError, match=r"calibrations\['v'\]: expected a table of calibrate, got no r2, spread"):
        compare(samplers, 3, calibrations={"v": pd.DataFrame({"t": [0], "pearson": [1.0]})})
    walk.describe = lambda objects: {"mean_reward": 1.0}
    with pytest.raises(ValueError, match="describe: expected names of its own, got 'mean_reward'"):
        compare({"a": ancestral(walk, target)}, 3, errors="raise")
    with pytest.raises(ValueError, match="errors: expected one of keep, raise, got 'ignore'"):
        compare(samplers, 3, errors="ignore")
