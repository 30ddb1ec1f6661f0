"""The learned rows of the table of GDSS over several trainings: how much of a figure is the chance of its training.

    python benchmarks/gdss_trainings.py [--rewards QED]        # two hours of one core for two trainings
    python benchmarks/gdss_trainings.py --quote

A training has trajectories of its own and a seed of its own; each row then draws as many molecules by its values as the
table does, with the table's random numbers. The first training is that of the table (benchmarks/gdss_table.py), whose
rows are not drawn again. Batches are kept in benchmarks/results/gdss_trainings.json as soon as they are there, and a
second run goes on. docs/leaderboards/gdss_trainings.md is written from both.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from benchmarks.gdss.rows import gather, handover
from benchmarks.gdss.training import REWARDS, ROOT
from benchmarks.gdss_table.run import NUM_BATCHES, SEED, draw, key
from benchmarks.gdss_table.run import results as table
from benchmarks.gdss_table.samplers import Row, by_value, value_then_reward
from benchmarks.gdss_trainings.page import page
from svlearn.files import write

RESULTS, PAGE = ROOT / "benchmarks/results/gdss_trainings.json", ROOT / "docs/leaderboards/gdss_trainings.md"
TRAININGS, START = (1, 2), 240
TWIST = "SVDD, contrastive twist"


def rows(training: int) -> dict[str, Row]:
    """Rows of the table by the values of a training."""
    return {
        TWIST: by_value(10, "contrastive_twist", training=training),
        handover(TWIST, START): value_then_reward("contrastive_twist", START, training),
        "SVDD-MC": by_value(10, "monte_carlo", training=training),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewards", nargs="+", choices=REWARDS, default=list(REWARDS))
    parser.add_argument("--quote", action="store_true", help="only write the page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.quote:
        wanted = [(k, reward, name) for k in TRAININGS for name in rows(k) for reward in options.rewards]
        for training, reward, name in tqdm(wanted, unit="row"):
            for batch in range(NUM_BATCHES):
                drawn = partial(draw, reward, rows(training)[name], SEED, batch)
                keep(f"{training}/{key(reward, name, SEED, batch)}", drawn)
    quote()


def results() -> dict:
    """What has been drawn, by training, reward, row, seed and batch."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"batches": {}}


def keep(name: str, drawn: partial) -> None:
    """Read again before writing, for another run may draw other rows meanwhile."""
    if name not in results()["batches"]:
        batch = drawn()
        held = results()
        held["batches"][name] = batch
        write(RESULTS, json.dumps(held, indent=1, allow_nan=False) + "\n")
        quote()


def trainings() -> list[dict]:
    """The rows of each training by reward and name, those of the table first."""
    held, drawn = results()["batches"], [gather(table())]
    for training in TRAININGS:
        start = f"{training}/"
        own = {name.removeprefix(start): batch for name, batch in held.items() if name.startswith(start)}
        drawn.append(gather({"batches": own}))
    return drawn


def written() -> dict[Path, str]:
    """The page."""
    return {PAGE: page(trainings(), list(rows(0)))}


def quote() -> None:
    for path, text in written().items():
        write(path, text)


if __name__ == "__main__":
    main()
