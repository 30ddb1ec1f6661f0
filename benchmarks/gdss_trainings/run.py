"""The learned rows of the table of GDSS over several trainings: how much of a figure is the chance of its training.

    python -m benchmarks gdss_trainings [--rewards QED]        # two hours of one core for two trainings

A training has trajectories of its own and a seed of its own; each row then draws as many molecules by its values as the
table does, with the table's random numbers. The first training is that of the table (benchmarks/gdss_table), whose
rows are not drawn again. Batches are kept in benchmarks/results/gdss_trainings.json as soon as they are there, and a
second run goes on. docs/leaderboards/gdss_trainings.md is written from both.
"""

import argparse
from functools import partial
from pathlib import Path

from tqdm.auto import tqdm

from benchmarks.common.command import add_choice
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.rows import gather, handover
from benchmarks.gdss.trajectories import REWARDS
from benchmarks.gdss_table.batches import NUM_BATCHES, SEED, draw, key
from benchmarks.gdss_table.batches import RESULTS as TABLE
from benchmarks.gdss_table.samplers import Row, by_value, value_then_reward
from benchmarks.gdss_trainings.page import figures, page

RESULTS, PAGE = Results("gdss_trainings", {"batches": {}}), PAGES / "gdss_trainings.md"
TRAININGS, START = (1, 2), 240
TWIST = "SVDD, contrastive twist"


def rows(training: int) -> dict[str, Row]:
    """Rows of the table by the values of a training."""
    return {
        TWIST: by_value(10, "contrastive_twist", training=training),
        handover(TWIST, START): value_then_reward("contrastive_twist", START, training),
        "SVDD-MC": by_value(10, "monte_carlo", training=training),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rewards", REWARDS)


def measure(options: argparse.Namespace) -> None:
    runs = [(k, reward, name) for k in TRAININGS for name in rows(k) for reward in options.rewards]
    for training, reward, name in tqdm(runs, unit="row"):
        for batch in range(NUM_BATCHES):
            drawn = partial(draw, reward, rows(training)[name], SEED, batch)
            if RESULTS.finish(drawn, "batches", f"{training}/{key(reward, name, SEED, batch)}"):
                write_pages(pages())


def trainings() -> list[dict]:
    """The rows of each training by reward and name, those of the table first."""
    held, drawn = RESULTS.read()["batches"], [gather(TABLE.read())]
    for training in TRAININGS:
        start = f"{training}/"
        own = {name.removeprefix(start): batch for name, batch in held.items() if name.startswith(start)}
        drawn.append(gather({"batches": own}))
    return drawn


def pages() -> dict[Path, str]:
    drawn, names = trainings(), list(rows(0))
    drawings = {PAGE.with_name(name): drawing for name, drawing in figures(drawn, names).items()}
    return {PAGE: page(drawn, names, RESULTS.read())} | drawings
