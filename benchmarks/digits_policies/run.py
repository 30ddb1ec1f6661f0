"""Policies on digits: what they reach and what they pay, alone and as proposals, beside SVDD and TDS, at three alphas.

    python -m benchmarks digits_policies                                     # what is not measured yet
    python -m benchmarks digits_policies --rows "adjoint matching" --alphas 0.5
    python -m benchmarks digits_policies --quote                             # write the page from the results

8 images of each of the ten classes a row and alpha, in 20 steps. The reward is the log-probability of the class by one
public classifier, the judge is another. Policies are trained where they are not in runs/ yet. A row is kept in
benchmarks/results/digits_policies.json as soon as it is there. docs/leaderboards/digits_policies.md and its figures are
written from the results.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.digits.measured import measured
from benchmarks.digits.problem import ALPHAS, classes
from benchmarks.digits.trained import training
from benchmarks.digits_policies.figures import figures
from benchmarks.digits_policies.page import page
from benchmarks.digits_policies.problem import process
from benchmarks.digits_policies.rows import ROWS
from benchmarks.digits_policies.trained import RUNS

RESULTS = Results("digits_policies", {"cells": {}, "training": {}})
PAGE = PAGES / "digits_policies.md"
PER_CLASS, SEED, TOGETHER = 8, 1, 64


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--alphas", nargs="+", type=float, default=list(ALPHAS), metavar="ALPHA")


def measure(options: argparse.Namespace) -> None:
    for alpha in options.alphas:
        for name in options.rows:
            key = f"{name}/{ALPHAS[0] if ROWS[name].fixed else alpha:g}"
            if RESULTS.finish(partial(draw, name, alpha), "cells", key, complete=add_training):
                print(f"{name}, alpha = {alpha:g}: done", flush=True)


def draw(name: str, alpha: float) -> dict:
    """One row at one alpha."""
    return measured(ROWS[name].make(alpha), process(), classes(PER_CLASS), SEED, max_batch=TOGETHER)


def add_training(held: dict) -> None:
    held["training"] |= training(RUNS)


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
