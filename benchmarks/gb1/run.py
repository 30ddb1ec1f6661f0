"""GB1: values, samplers and policies against exact truth on a protein landscape that was measured nearly whole.

    python -m benchmarks gb1                                  # what is not measured yet
    python -m benchmarks gb1 --parts samplers values          # these parts alone
    python -m benchmarks gb1 --quote                          # write the page from the results that are there

The reference is the shipped "gb1", the reward the logarithm of the measured fitness. Everything is held against v_t, p*
and log Z by dynamic programming over all 21^4 states. Each part is written to benchmarks/results/gb1.json as soon as it
is finished. docs/leaderboards/gb1.md and its figures are made from that file.

parts: sweeps (SVDD and best-of-N, summed exactly, by candidates and alpha), values (each objective, R² against both
exact values), samplers (drawn), policies (exact KL both ways)
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from benchmarks.common.command import add_again, add_choice, add_seeds
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gb1 import policies, samplers, values
from benchmarks.gb1.figures import figures
from benchmarks.gb1.page import page
from benchmarks.gb1.problem import ALPHAS, figures_of, landscape, library_landscape
from svlearn.domains.sequences.landscape import Landscape

EMPTY: dict = {"problem": {}, "sweeps": {}, "learned": {}, "values": {}, "samplers": {}, "policies": {}}
RESULTS, PAGE = Results("gb1", EMPTY, allow_nan=True), PAGES / "gb1.md"
PARTS = ("sweeps", "values", "samplers", "policies")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--parts", PARTS)
    add_seeds(parser, [0, 1], "networks and training")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    for keys, make in tqdm(work(options), desc="gb1"):
        tqdm.write("/".join(keys))
        RESULTS.finish(make, *keys, again=options.again)


def work(options: argparse.Namespace) -> list[tuple[tuple[str, str], Callable[[], Any]]]:
    """What is to be measured, by its place in the results: what others use, and what is quick, first."""
    found: list[tuple[tuple[str, str], Callable[[], Any]]] = []
    for name, of in (("gb1", landscape), ("library", library_landscape)):
        found += [(("problem", f"{name}/{alpha}"), partial(problem, of, alpha)) for alpha in ALPHAS]
    for seed in options.seeds:
        if "values" in options.parts:
            found += [
                (("values", f"{family.name}/{seed}"), partial(values.measured, family, seed))
                for family in values.FAMILIES
            ]
            found.append((("values", "untrained"), values.untrained))
        if "sweeps" in options.parts:
            found += [(("sweeps", name), partial(swept, *each)) for name, each in samplers.SWEEPS.items()]
            found.append((("learned", "svdd"), samplers.of_learned))
        if "samplers" in options.parts:
            found += [(("samplers", name), partial(samplers.drawn, name)) for name in samplers.DRAWN]
        if "policies" in options.parts:
            found += [
                (("policies", f"{family.name}/{seed}"), partial(policies.measured, family, seed))
                for family in policies.FAMILIES
            ]
            found.append((("policies", "untrained"), policies.untrained))
    return list(dict(found).items())


def problem(of: Callable[[], Landscape], alpha: float) -> dict[str, float]:
    return figures_of(of(), alpha)


def swept(of: Callable[[], Landscape], alpha: float) -> dict[str, Any]:
    return samplers.swept(of(), alpha)


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
