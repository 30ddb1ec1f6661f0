"""An exhaustive grid on GB1, where the leaderboard has other rewards: every value with every number of candidates."""

from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

import svlearn as sv
from benchmarks.advice.advised import MAX_BATCH, calls
from benchmarks.advice.hand_picked import Row
from benchmarks.advice.problems import PROBLEMS, gb1
from svlearn.advising import trained_values
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out
from svlearn.values import PosteriorMean, Switch, Value

SIZES = (2, 4, 8, 10, 16, 20, 32)
DRAWS = 4  # of x_T
NUMBER, SEED = 256, 100
TRAJECTORIES = 2048  # that the learned value learns from


def measured() -> dict[str, Any]:
    """The rows that fit the price of a sample, and the calls of the training."""
    setting, limit = gb1(SEED), PROBLEMS["gb1"].per_sample
    value, spent = learned()
    greedy = {
        "posterior mean": PosteriorMean(setting.target),
        f"posterior mean of {DRAWS} draws": PosteriorMean(setting.target, DRAWS),
        "learned": value,
        **{
            f"learned to t = {start}, then posterior mean": Switch(value, PosteriorMean(setting.target), start)
            for start in range(1, setting.reference.num_steps)
        },
    }
    rows = [row(f"best of {n}", sv.best_of_n(setting.reference, setting.target, n)) for n in (1, *SIZES[:-1])]
    for name, each in greedy.items():
        for size in SIZES:
            made = row(f"SVDD, {name}, M = {size}", sv.svdd(setting.reference, setting.target, each, size))
            rows.append({**made, "trained": "learned" in name})
    return {
        "rows": [each for each in rows if each["price"] <= limit],
        "training": spent,
        "provenance": provenance(),
    }


def row(name: str, sampler: sv.Sampler) -> dict[str, Any]:
    samples = sampler.sample(NUMBER, generator=seeded("cpu", SEED), max_batch=MAX_BATCH)
    rewards = samples.rewards.double().flatten().tolist()  # type: ignore[union-attr]
    price = calls(asdict(samples.cost)) / NUMBER
    return asdict(Row(name, fmean(rewards), stdev(rewards) / NUMBER**0.5, price, NUMBER))


def learned() -> tuple[Value, float]:
    """A value that is fitted as an advice fits one, to more trajectories, and the calls of these."""
    setting = gb1(SEED)
    drawn = roll_out(setting.reference, TRAJECTORIES, target=setting.target, generator=seeded("cpu", SEED, 1))
    scores = drawn["rewards"].double().numpy()
    value, _ = trained_values.train(
        setting.options["trainable"]["learned"],
        setting.reference,
        setting.target,
        drawn,
        scores,
        seed=SEED,
        steps=trained_values.STEPS["calls"],
        seconds=None,
    )
    return value, TRAJECTORIES * (setting.reference.num_steps + 1.0)
