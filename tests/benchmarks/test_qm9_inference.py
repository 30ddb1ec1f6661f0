"""The benchmark of inference on QM9: its estimates by hand, and that its page and figures are those of its results."""

import math

import numpy as np
import pytest

from benchmarks.qm9_inference import findings, rows
from benchmarks.qm9_inference import run as inference


def figures(mean, error=0.01, log_z=(None, None), mean_log_z=(None, None)):
    return {
        "mean_reward": mean,
        "mean_reward_standard_error": error,
        "log_normalizer_nats": log_z[0],
        "log_normalizer_standard_error_nats": log_z[1],
        "mean_log_normalizer_nats": mean_log_z[0],
        "mean_log_normalizer_standard_error_nats": mean_log_z[1],
    }


def test_every_method_was_run_at_equal_calls_with_both_seeds():
    held = inference.RESULTS.read()["entries"]
    for name, method in inference.METHODS.items():
        for alpha in method.alphas:
            figures = [held[inference.key(name, alpha, seed)]["figures"] for seed in (1, 2)]
            assert sum(each["num_samples"] for each in figures) >= (128 if "M = " in name else 256)
            if "M = " not in name:
                for each in figures:
                    calls = each["reference_calls_per_sample"]
                    assert calls == 45 or 425 <= calls <= 450, (name, alpha, calls)


def test_the_weights_of_the_reference_by_hand():
    """exp(r/alpha) = 1 and 3: Z = 2, p* = (1/4, 3/4)."""
    alpha = 0.1
    figures = inference.weighed(np.array([0.0, alpha * math.log(3)]), alpha)
    assert figures["log_normalizer_nats"] == pytest.approx(math.log(2))
    assert figures["log_normalizer_standard_error_nats"] == pytest.approx(2**0.5 / 2**0.5 / 2)
    assert figures["mean_reward"] == pytest.approx(0.75 * alpha * math.log(3))
    spread = alpha * math.log(3) * math.hypot(0.25 * 0.75, 0.75 * 0.25)
    assert figures["mean_reward_standard_error"] == pytest.approx(spread)
    assert figures["kl_nats"] == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert figures["ess"] == pytest.approx(1.6)


def test_seeds_are_pooled_by_hand():
    """Z = 1 ± 0.1 and 3 ± 0.6 have the mean 2 ± 0.5 · 0.61, which is 15 % of it."""
    seeds = {
        1: figures(0.5, 0.03, (0.0, 0.1), (-0.2, 0.3)),
        2: figures(0.6, 0.04, (math.log(3), 0.2), (0.6, 0.4)),
    }
    row = rows.Row("SMC-PM", 0.1, seeds)
    assert row.reward == pytest.approx((0.55, 0.025))
    assert rows.Row("SVDD-MC", 0.1, seeds).reward == pytest.approx((0.55, 0.05))  # half the distance of the seeds
    assert row.log_normalizer == pytest.approx((math.log(2), 0.5 * math.hypot(0.1, 0.6) / 2))
    assert row.mean_log_normalizer == pytest.approx((0.2, 0.25))
    truth = {"log_normalizer_nats": 0.9, "log_normalizer_standard_error_nats": 0.6, "ess": 1000}
    assert row.divergence(truth) == pytest.approx((0.7, 0.65))
    assert row.divergence({**truth, "ess": 99}) is None
    assert rows.Row("tree, PM", 0.1, seeds).divergence(truth) is None
    assert rows.Row("guidance", 0.1, {1: figures(0.5)}).log_normalizer is None


def test_differences_fall_on_their_sides():
    means = {("a", 0.1): 0.5, ("b", 0.1): 0.4, ("a", 0.03): 0.4, ("b", 0.03): 0.5, ("a", 0.01): 0.52, ("b", 0.01): 0.5}
    drawn = [rows.Row(*key, {1: figures(mean)}) for key, mean in means.items()]
    assert findings.differences(drawn, (("a", "b"), ("a", "absent"))) == (
        "they **gain** in `a` against `b` (+0.100 ± 0.014 at 0.1); "
        "they **lose** in `a` against `b` (-0.100 ± 0.014 at 0.03); "
        "they **are not told apart** in `a` against `b` (+0.020 ± 0.014 at 0.01)"
    )


def test_of_several_runs_the_best_is_kept():
    sv = inference.sv
    reference = sv.load("qm9").eval()
    method = inference.Method(lambda p, r, pm, v: sv.ancestral(p, r), (0.0,), runs=3, num_samples=4)
    figures = inference.drawn(method, 0.0, 5, reference, sv.values.Zero())["figures"]
    target = sv.Target(inference.QED(num_workers=1), 0.0)
    rewards = sv.ancestral(reference, target).sample(12, generator=inference.seeded("cpu", 5)).rewards
    assert figures["mean_reward"] == pytest.approx(float(rewards.view(4, 3).amax(dim=1).mean()))
    assert figures["reference_calls_per_sample"] == 3 * 45
