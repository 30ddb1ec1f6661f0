"""Iterated twists by round: R² against the exact soft value and the error of log Z, beside contrastive twist learning.

    python -m benchmarks iterated_twists                              # what is not measured yet
    python -m benchmarks iterated_twists --problems tree markov       # these problems alone
    python -m benchmarks iterated_twists --quote                      # write the page from the results that are there

On four oracles, GB1 and two tokens of stories, all with exact values, three objectives learn a twist with the same
networks, learning rates, optimiser steps and numbers of trajectories drawn, and are looked at after every round of
`IteratedTwist`. Each training is written to benchmarks/results/iterated_twists.json as soon as it is finished;
docs/leaderboards/iterated_twists.md and its figures are made from that file.
"""

import argparse
import warnings
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.common.command import add_again, add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.iterated_twists.figures import figures
from benchmarks.iterated_twists.page import page
from benchmarks.iterated_twists.problems import PROBLEMS, problem
from benchmarks.iterated_twists.training import METHODS, learn
from svlearn.evaluation.report.provenance import provenance

RESULTS = Results("iterated_twists", {"problems": {}, "runs": {}})
PAGE = PAGES / "iterated_twists.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--problems", PROBLEMS)
    add_choice(parser, "--methods", METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", help="of networks and training (default: all of a problem's)")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    warnings.filterwarnings("ignore", message="reference: not memoryless")
    for name in options.problems:
        RESULTS.finish(partial(yardsticks, name), "problems", name, again=options.again)
        seeds = range(problem(name).seeds) if options.seeds is None else options.seeds
        for seed, method in tqdm([(seed, method) for seed in seeds for method in options.methods], desc=name):
            RESULTS.finish(partial(trained, name, method, seed), "runs", f"{name}/{method}/{seed}", again=options.again)


def yardsticks(name: str) -> dict:
    return {"title": problem(name).title, **problem(name).yardsticks(), "provenance": provenance()}


def trained(name: str, method: str, seed: int) -> dict:
    return {**learn(problem(name), method, seed), "provenance": provenance()}


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
