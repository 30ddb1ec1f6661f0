"""Two tokens of a real language model, all of them enumerated: what samplers, twists and policies miss of exact truth.

    python -m benchmarks stories_truth                          # what is not measured yet
    python -m benchmarks stories_truth --problems sentiment     # of this problem alone
    python -m benchmarks stories_truth --quote                  # write the page from the results that are there

stories260k continues a prompt by two of its 512 tokens: 261,122 texts, whose p*, log Z and soft values are exact. 2,000
groups of each sampler, one text of each; beside them as many exact draws, five times: the floor. Values and policies
are trained three times each. docs/leaderboards/stories_truth.md is written from the results.
"""

import argparse
import math
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.stories_truth import learned, rows
from benchmarks.stories_truth.figures import figures
from benchmarks.stories_truth.page import page, rows_of
from benchmarks.stories_truth.problem import PROBLEMS, condition, reference, texts
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded
from svlearn.targets import NonFiniteError

RESULTS, PAGE = Results("stories_truth", {name: {} for name in PROBLEMS}), PAGES / "stories_truth.md"
NUMBER, REPEATS, SEEDS = 2_000, 5, (1, 2, 3)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--problems", PROBLEMS)
    add_seeds(parser, SEEDS, "the trainings")


def measure(options: argparse.Namespace) -> None:
    for problem in options.problems:
        RESULTS.finish(partial(truth, problem), problem, "truth")
        for name in rows.TRAINING_FREE:
            RESULTS.finish(partial(training_free, problem, name), problem, name)
        for seed in options.seeds:
            for family in learned.VALUES:
                RESULTS.finish(partial(value, problem, family, seed), problem, f"value, {family}, {seed}")
            for family in learned.POLICIES if problem == "sentiment" else learned.OF_CONSTRAINTS:
                RESULTS.finish(partial(policy, problem, family, seed), problem, f"policy, {family}, {seed}")


def truth(problem: str) -> dict:
    """What is exact, and how far as many exact draws as a row has are from it."""
    exact = texts(problem)
    law, floor = exact.log_target.exp(), []
    for repeat in range(REPEATS):
        drawn = torch.multinomial(law, NUMBER, replacement=True, generator=seeded("cpu", 7, repeat))
        floor.append(distances(problem, torch.bincount(drawn, minlength=len(law)).double() / NUMBER))
    mean = float(exact.mean_values[0])
    return {
        "texts": len(exact.rewards),
        "log_normalizer": exact.log_normalizer,
        "mean_reward": None if math.isnan(mean) else mean,
        "target_reward": float((law * exact.rewards.where(law > 0, 0.0)).sum()),
        "floor": {
            name: [fmean(each[name] for each in floor), stdev(each[name] for each in floor)] for name in floor[0]
        },
        "number": NUMBER,
        "provenance": provenance(),
    }


def training_free(problem: str, name: str) -> dict:
    return {"samplers": {name: draw(problem, rows.TRAINING_FREE[name](problem))}, "provenance": provenance()}


def value(problem: str, family: str, seed: int) -> dict:
    """Of a training that ends at a number that is not finite, what it said."""
    try:
        trained, spent = learned.train_value(problem, family, seed)
    except NonFiniteError as error:
        return {"diverged": str(error).partition("; its batch")[0], "samplers": {}, "provenance": provenance()}
    drawn = {name: draw(problem, sampler) for name, sampler in rows.with_value(problem, trained).items()}
    return {"r2": learned.r2(problem, trained), "trained": spent, "samplers": drawn, "provenance": provenance()}


def policy(problem: str, family: str, seed: int) -> dict:
    trained, spent = learned.train_policy(problem, family, seed)
    samplers = rows.with_policy(problem, trained)
    drawn = {name: draw(problem, sampler, trained.copy) for name, sampler in samplers.items()}
    kl = learned.divergences(problem, trained)
    return {"kl": kl, "trained": spent, "samplers": drawn, "provenance": provenance()}


def draw(problem: str, sampler: sv.Sampler, *others: Any) -> dict:
    """One text of each of 2,000 groups: how far their law is from p*, log Z where there is one, and what each costs.

    others: processes beside the reference, whose token positions count too."""
    generator, processes = seeded("cpu", 1), [reference(), *others]
    before = sum(each.positions for each in processes)
    start = clock()
    samples = sampler.sample(NUMBER, condition=condition(problem, NUMBER), generator=generator, max_batch=8_192)
    spent, positions = since(start), sum(each.positions for each in processes) - before
    states, rewards = samples.draw_with_rewards(generator=generator)
    dead = (rewards == -math.inf).double()
    figures = {
        **distances(problem, texts(problem).law_of(states)),
        "reward": float(rewards.double().mean()) if not bool(dead.any()) else None,
        "met": 1 - float(dead.mean()),
        "per_sample": {kind: getattr(samples.cost, kind) / NUMBER for kind in KINDS}
        | {each: amount / NUMBER for each, amount in spent.items()}
        | {"positions": positions / NUMBER},
    }
    if samples.log_normalizer is not None:
        ratios = (samples.log_normalizer.double() - texts(problem).log_normalizer).exp()
        figures["ratio"] = [float(ratios.mean()), float(ratios.std()) / NUMBER**0.5]
        figures["relative_deviation"] = float((ratios - 1).square().mean().sqrt())
    return figures


def distances(problem: str, law: torch.Tensor) -> dict[str, float]:
    """Total variation of a law over the texts from p*, and of its first tokens."""
    exact = texts(problem)
    parents, number = exact.levels[2].parents, len(exact.levels[1].log_probs)
    difference = law - exact.log_target.exp()
    first = torch.zeros(number, dtype=torch.float64).index_add(0, parents, difference)
    return {"texts": float(difference.abs().sum()) / 2, "first_tokens": float(first.abs().sum()) / 2}


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    drawn = figures(held, {name: rows_of(held[name]) for name in PROBLEMS})
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in drawn.items()}
