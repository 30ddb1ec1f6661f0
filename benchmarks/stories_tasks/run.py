"""The tasks of the twisted-SMC paper in small: how far twists and policies are from the posterior, both ways.

    python -m benchmarks stories_tasks                                 # what is not measured yet
    python -m benchmarks stories_tasks --tasks sentiment --seeds 1 2   # of this task, these trainings
    python -m benchmarks stories_tasks --quote                         # write the page from the results that are there

stories260k writes ten tokens; the tasks are sentiment, toxicity and infilling. Of each method KL(q || p*) and
KL(p* || q) of its proposal alone, by log Z from both sides at one particle, and the gap at 16; five trainings of each.
docs/leaderboards/stories_tasks.md is written from the results.
"""

import argparse
from functools import partial
from pathlib import Path

import svlearn as sv
from benchmarks.common.command import add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.stories.texts import condition
from benchmarks.stories_tasks import methods
from benchmarks.stories_tasks.page import figures, page
from benchmarks.stories_tasks.tasks import (
    TASKS,
    log_normalizer,
    reference,
    rewards,
    texts_of_posterior,
    trajectories,
)
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

RESULTS, PAGE = Results("stories_tasks", {task: {} for task in TASKS}), PAGES / "stories_tasks.md"
SEEDS, PARTICLES = (1, 2, 3, 4, 5), (1, 16)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--tasks", TASKS)
    add_seeds(parser, SEEDS, "the trainings")


def measure(options: argparse.Namespace) -> None:
    for seed in options.seeds:
        for task in options.tasks:
            RESULTS.finish(partial(truth, task), task, "truth")
            RESULTS.finish(partial(untrained, task), task, "the reference, 0")
            for method in methods.METHODS:
                RESULTS.finish(partial(trained, task, method, seed), task, f"{method}, {seed}")


def truth(task: str) -> dict:
    """log Z by plain texts, and what there is of p* to judge by."""
    estimate, error = log_normalizer(task)
    texts, size = texts_of_posterior(task)
    return {
        "log_normalizer": [estimate, error],
        "texts": len(texts),
        "effective": size,
        "plain_reward": float(rewards(task).mean()),
        "provenance": provenance(),
    }


def untrained(task: str) -> dict:
    return {"bounds": bounds(task, methods.untrained(task)), "provenance": provenance()}


def trained(task: str, method: str, seed: int) -> dict:
    sampler, spent = methods.train(task, method, seed)
    return {"bounds": bounds(task, sampler), "trained": spent, "provenance": provenance()}


def bounds(task: str, sampler: methods.Sampler) -> dict[str, dict[str, float]]:
    """log Z from both sides by one and by 16 particles, over as many groups as there are texts of p*; what a group
    costs in token positions of the reference, and the mean reward of a text drawn."""
    texts, _ = texts_of_posterior(task)
    paths, found = trajectories(texts), {}
    for number in PARTICLES:
        own, size = sampler(number), len(texts)
        options = {"condition": condition(size), "generator": seeded("cpu", 3)}
        both = sv.normalizer_bounds(own, size, trajectories=paths, max_batch=4_096, **options)
        before = reference().positions
        samples = own.sample(size, max_batch=4_096, **options)
        _, drawn = samples.draw_with_rewards(generator=seeded("cpu", 4))
        found[str(number)] = {
            "lower": both.lower,
            "lower_error": both.lower_standard_error,
            "upper": both.upper,
            "upper_error": both.upper_standard_error,
            "positions": (reference().positions - before) / size,
            "reward": float(drawn.double().mean()),
        }
    return found


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
