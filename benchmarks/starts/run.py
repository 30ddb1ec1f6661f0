"""Starts that know the reward: effective x_0 and the spread of log Z at equal network calls, with them and without.

    python -m benchmarks starts                          # what is not measured yet
    python -m benchmarks starts --problems mixture       # of this problem alone
    python -m benchmarks starts --quote                  # write the page from the results that are there

SMC and SVDD with the value r(x̂_T) begin with draws of p_0, or with `starts.CrankNicolson`, on a mixture that is exactly
known and on the shipped digits. Each row is written to benchmarks/results/starts.json as soon as it is finished;
docs/leaderboards/starts.md and its figure are made from that file.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.common.command import add_again, add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.starts.figures import figures
from benchmarks.starts.measured import measured
from benchmarks.starts.page import page
from benchmarks.starts.problems import PROBLEMS, problem
from benchmarks.starts.rows import ROWS

RESULTS, PAGE = Results("starts", {name: {} for name in PROBLEMS}), PAGES / "starts.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--problems", PROBLEMS)
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    for name in options.problems:
        for key, row in ROWS.items():
            if RESULTS.finish(partial(measured, problem(name), row), name, key, again=options.again):
                print(f"{name}, {key}: done", flush=True)


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
