"""The SVDD paper's table 2 for QED and SA on its own model, GDSS on ZINC-250k, with what every row costs.

    python -m benchmarks gdss_table [--rewards QED] [--rows "SVDD-MC" "SVDD-PM"]
    python -m benchmarks gdss_table --train contrastive_twist monte_carlo     # only train values
    python -m benchmarks gdss_table --ship                                    # only copy those to checkpoints/

128 molecules a row at 200 corrected steps, alpha = 0, in batches of 32 that are kept in
benchmarks/results/gdss_table.json as soon as they are there; what is there is not drawn again, so stop and start at
will: some hours of one core for all. Best-of-10 takes the best of ten of the 1,280 trajectories that the values
learned from, in their order. The gradient of DPS and of classifier guidance is scaled as was best in mean reward of 32
other molecules, which the results hold as well. docs/leaderboards/gdss.md and its figure are written from the results.

The values are those that svlearn ships, where it ships them; --train trains them on the trajectories, and the table
takes them from then on.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean

from tqdm.auto import tqdm

from benchmarks.common.command import add_choice
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.trajectories import REWARDS, RUNS
from benchmarks.gdss.values import fit, ship
from benchmarks.gdss_table.batches import NUM_BATCHES, RESULTS, SEED, draw, key
from benchmarks.gdss_table.page import figure, page
from benchmarks.gdss_table.samplers import ROWS

STEPS, PAGE = Results("gdss_step", {"sides": {}}), PAGES / "gdss.md"
TUNING_SEED = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rewards", REWARDS)
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--train", nargs="+", metavar="FAMILY", help="only train these families of values")
    parser.add_argument("--ship", action="store_true", help="only copy what was trained to checkpoints/")


def measure(options: argparse.Namespace) -> None:
    for reward in options.rewards:
        for family in options.train or ():
            fit(reward, family)
    if options.ship:
        ship()
    if options.ship or options.train:
        return
    for reward, row in tqdm([(reward, row) for reward in options.rewards for row in options.rows], unit="row"):
        strength = chosen(reward, row) if ROWS[row].strengths else None
        for batch in range(NUM_BATCHES):
            keep(key(reward, row, SEED, batch), partial(draw, reward, ROWS[row], SEED, batch, strength))


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held, walls()), PAGE.with_name("gdss_time.svg"): figure(held)}


def walls() -> dict[str, float]:
    """Milliseconds of samplers by the wall, a molecule and step, that the study gdss_step measured side by side."""
    return {name: side["wall_ms"] for name, side in STEPS.read()["sides"].items()}


def keep(name: str, batch: Callable[[], dict]) -> None:
    """Draw a batch where it is not there yet, and write the page anew."""
    if RESULTS.finish(batch, "batches", name, complete=add_training):
        write_pages(pages())


def add_training(held: dict) -> None:
    """What the values and reward networks that are in runs/ took."""
    costs = sorted([*RUNS.glob("*/*/cost.json"), *RUNS.glob("*/reward_network.json")])
    held["training"] |= {str(each.relative_to(RUNS)): json.loads(each.read_text()) for each in costs}


def chosen(reward: str, row: str) -> float:
    """The strength of the largest mean reward."""
    means = {}
    for strength in ROWS[row].strengths:
        name = key(reward, f"{row}, strength {strength:g}", TUNING_SEED, 0)
        keep(name, partial(draw, reward, ROWS[row], TUNING_SEED, 0, strength))
        means[strength] = fmean(RESULTS.read()["batches"][name]["rewards"])
    return max(means, key=lambda each: means[each])
