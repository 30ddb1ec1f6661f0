"""What each way of learning a value buys from the same calls, on GB1, 5'UTRs, QM9, stories and digits.

    python -m benchmarks value_lessons                                # what is not measured yet
    python -m benchmarks value_lessons --problems gb1 qm9 --seeds 4   # of these, another seed
    python -m benchmarks value_lessons --quote                        # write the page from the results

Each way may call the reference and the reward as often as any other while it learns, and is then used in SVDD with as
many candidates. A training is kept in benchmarks/results/value_lessons.json as soon as it is judged.
docs/leaderboards/value_lessons.md and its figure are written from the results.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.common.command import add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.value_lessons.figures import drawing
from benchmarks.value_lessons.lessons import LESSONS
from benchmarks.value_lessons.measured import FREE, free, trained
from benchmarks.value_lessons.page import page
from benchmarks.value_lessons.problems import PROBLEMS

RESULTS, PAGE = Results("value_lessons", {"free": {}, "trained": {}}), PAGES / "value_lessons.md"
SEEDS = (1, 2, 3)


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--problems", PROBLEMS)
    add_choice(parser, "--rows", LESSONS)
    add_seeds(parser, SEEDS, "the trainings")


def measure(options: argparse.Namespace) -> None:
    for name in options.problems:
        for row in FREE:
            RESULTS.finish(partial(free, name, row), "free", f"{name}/{row}")
    for seed in options.seeds:
        for name in options.problems:
            for row in (each for each in options.rows if LESSONS[each].absent(name) is None):
                if RESULTS.finish(partial(trained, name, row, seed), "trained", f"{name}/{row}/{seed}"):
                    print(f"{name}, {row}, seed {seed}: done", flush=True)


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | ({PAGE.with_suffix(".svg"): drawing(held)} if held["trained"] else {})
