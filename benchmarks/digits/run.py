"""Digits: a class drawn from an unconditional diffusion, by every method, at three alphas, judged by another network.

    python -m benchmarks digits                        # what is not measured yet
    python -m benchmarks digits --rows DPS --alphas 1  # these alone
    python -m benchmarks digits --parts weighed        # the parts beside the rows: weighed, two_rewards
    python -m benchmarks digits --quote                # write the page from the results that are there

8 images of each of the ten classes a row and alpha (4 by flow, 2 of TDS at K = 64), in 25 steps. The reward is the
log-probability of the class by one public classifier, the judge is another. Rows "flow, ..." are of the twin by flow
matching. Beside the rows: p* itself, by weighing plain samples, and a 7 that is small as JPEG, two rewards at once. A
part is kept in benchmarks/results/digits.json as soon as it is there. docs/leaderboards/digits.md and its figures are
written from the results.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.digits import two_rewards
from benchmarks.digits.figures import figures
from benchmarks.digits.measured import measured
from benchmarks.digits.page import page
from benchmarks.digits.problem import ALPHAS, CLASSES, channels_last, classes, flow, judging, process, rewarding
from benchmarks.digits.rows import ROWS
from benchmarks.digits.trained import training
from benchmarks.digits.weighed import of_plain
from svlearn.domains.images.digits.data import part
from svlearn.domains.images.digits.metrics import diversity

RESULTS = Results("digits", {"cells": {}, "training": {}, "data": {}, "two rewards": {}})
PAGE = PAGES / "digits.md"
PARTS = ("rows", "weighed", "two_rewards")
SEED, TOGETHER = 1, {process: 256, channels_last: 64, flow: 64}  # images in a call


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--alphas", nargs="+", type=float, default=list(ALPHAS), metavar="ALPHA")
    add_choice(parser, "--parts", PARTS)


def measure(options: argparse.Namespace) -> None:
    RESULTS.finish(of_data, "data", "held out")
    if "weighed" in options.parts:
        RESULTS.finish(of_plain, "data", "plain samples", complete=add_training)
    if "rows" in options.parts:
        measure_rows(options.rows, options.alphas)
    if "two_rewards" in options.parts:
        RESULTS.finish(two_rewards.of_real, "data", "kilobytes")
        for weight in two_rewards.WEIGHTS:
            for name in two_rewards.SAMPLERS:
                RESULTS.finish(partial(two_rewards.draw, name, weight), "two rewards", f"{name}/{weight:g}")
                print(f"{name}, weight {weight:g}: done", flush=True)


def measure_rows(names: Sequence[str], alphas: Sequence[float]) -> None:
    for name in names:
        for alpha in [ALPHAS[0]] if ROWS[name].fixed else alphas:
            RESULTS.finish(partial(draw, name, alpha), "cells", f"{name}/{alpha:g}", complete=add_training)
            print(f"{name}, alpha = {alpha:g}: done", flush=True)


def draw(name: str, alpha: float) -> dict:
    """One row at one alpha."""
    row = ROWS[name]
    return measured(row.make(alpha), row.of(), classes(row.number), SEED, TOGETHER[row.of])


def of_data() -> dict:
    """The same figures of real digits: 8 of each class."""
    images, labels = part("test")
    rows = torch.cat([(labels == each).nonzero().flatten()[:8] for each in range(CLASSES)])
    shown, own = images[rows] / 2 + 0.5, labels[rows]
    with torch.no_grad():
        features = judging().features(shown)
        return {
            "hits": (judging()(shown).argmax(dim=1) == own).tolist(),
            "rewards": rewarding()(shown).gather(1, own[:, None]).squeeze(1).tolist(),
            "diversity": [diversity(features[own == each]) for each in range(CLASSES)],
        }


def add_training(held: dict) -> None:
    held["training"] |= training()


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}
