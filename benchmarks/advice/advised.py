"""One advice on a problem, and what its sampler gives on samples that the advice has not seen."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

import svlearn as sv
from benchmarks.advice.problems import FOR_SAMPLES, PROBLEMS, Problem, Setting
from benchmarks.sequences.problems import close
from svlearn.evaluation.report.provenance import provenance
from svlearn.evaluation.report.tables import strict_json
from svlearn.metering import KINDS
from svlearn.randomness import seeded

MAX_BATCH = 512
JUDGE = 1000  # a stream of randomness, beside the seed of an advice
KEPT = ("recommended", "text", "gain", "break_even", "skipped", "notes", "spent", "price", "unit")
SHOWN = ("sampler", "reward", "standard_error", "price", "training_price", "gain", "gain_low", "gain_high")
MORE = ("stage", "num_samples", "pareto", "distinct")


def content(advice: sv.advising.Advice) -> dict[str, Any]:
    """What of an advice is kept, as strict JSON holds it."""
    whole = json.loads(strict_json(advice.as_content()))
    rows = [{key: row.get(key) for key in (*SHOWN, *MORE)} for row in whole["front"]]
    return {**{key: whole[key] for key in KEPT}, "front": rows}


def judged(name: str, budget: int, seed: int) -> dict[str, Any]:
    """An advice within a budget of calls, and the mean reward of its sampler, with calls and seconds a sample."""
    problem = PROBLEMS[name]
    setting = problem.make(seed)
    try:
        return _judged(problem, setting, budget, seed)
    finally:
        close(setting.target)


def _judged(problem: Problem, setting: Setting, budget: int, seed: int) -> dict[str, Any]:
    advice = sv.advise(
        setting.reference,
        setting.target,
        budget=f"{budget} calls",
        for_samples=FOR_SAMPLES,
        per_sample=problem.per_sample,
        seed=seed,
        max_batch=MAX_BATCH,
        **setting.options,
    )
    samples = advice.sampler.sample(
        problem.number,
        condition=setting.condition(problem.number),
        generator=seeded("cpu", JUDGE, seed),
        max_batch=MAX_BATCH,
    )
    _, rewards = samples.draw_with_rewards(generator=seeded("cpu", JUDGE, seed, 1))
    figures = rewards.double().tolist()
    return {
        **content(advice),
        "judged": {
            "reward": fmean(figures),
            "standard_error": stdev(figures) / len(figures) ** 0.5,
            "number": len(figures),
            "calls": calls(asdict(samples.cost)) / len(figures),
            "seconds": samples.cost.seconds / len(figures),
        },
        "provenance": provenance(),
    }


def calls(cost: Mapping[str, float]) -> float:
    """Calls as a budget counts them: all but those of a value's own network."""
    return float(sum(cost[kind] for kind in KINDS if kind != "value_calls"))
