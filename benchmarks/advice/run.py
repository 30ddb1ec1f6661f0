"""Advice against exhaustive search: what `sv.advise` recommends beside the best row of a leaderboard, and their calls.

    python -m benchmarks advice [--parts gb1 qm9] [--budgets 0 1 2] [--seeds 0 1 2 3 4]
    python -m benchmarks advice --parts hash smooth dear demo     # three rewards whose advice is known, and the demo
    python -m benchmarks advice --quote

An advice has a budget of calls, so that the same seed gives the same advice; its sampler is then judged on samples that
the advice has not seen. What the leaderboards of other studies hold is the search; on GB1 a grid of this study is.
docs/leaderboards/advice.md and its figures, and docs/advice.svg, which opens the README, are written from
benchmarks/results/advice.json and the results of those studies. About 40 minutes of one core.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks.advice import grid
from benchmarks.advice.advised import judged
from benchmarks.advice.figures import figures
from benchmarks.advice.page import page
from benchmarks.advice.problems import PROBLEMS, SEEDS
from benchmarks.advice.special import SPECIAL
from benchmarks.common.command import add_choice, add_seeds
from benchmarks.common.pages import quote
from benchmarks.common.paths import PAGES, ROOT
from benchmarks.common.results import Results

RESULTS, PAGE = Results("advice", {"advised": {}, "grid": {}, "special": {}}), PAGES / "advice.md"
README, SHOWN = ROOT / "README.md", "demo"  # the advice that the README opens with


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--parts", [*PROBLEMS, *SPECIAL])
    places = range(len(next(iter(PROBLEMS.values())).budgets))
    parser.add_argument("--budgets", type=int, nargs="+", default=list(places), help="by size, 0 the least")
    add_seeds(parser, SEEDS, "an advice")


def measure(options: argparse.Namespace) -> None:
    problems = [PROBLEMS[name] for name in options.parts if name in PROBLEMS]
    if "gb1" in options.parts:
        RESULTS.finish(grid.measured, "grid", "gb1")
    runs = [
        (each.name, each.budgets[place], seed)
        for each in problems
        for place in options.budgets
        for seed in options.seeds
    ]
    for name, budget, seed in tqdm(runs, unit="advice"):
        RESULTS.finish(partial(judged, name, budget, seed), "advised", key(name, budget, seed))
    for name in [name for name in options.parts if name in SPECIAL]:
        RESULTS.finish(SPECIAL[name], "special", name)


def key(name: str, budget: int, seed: int) -> str:
    return f"{name}/{budget}/{seed}"


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    opening = {README: quote(README.read_text(), "advice", quotation(held))} if SHOWN in held["special"] else {}
    return {PAGE: page(held)} | figures(held) | opening


def quotation(held: dict[str, Any]) -> str:
    """What the README says of it."""
    own = held["special"][SHOWN]
    return f"![Reward by price: what svlearn advise tried on QM9](docs/advice.svg)\n\n> {own['text']}\n\n"
