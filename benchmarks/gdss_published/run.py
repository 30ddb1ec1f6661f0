"""The SVDD paper's rows of QED on molecules as its authors' code makes them, with the code's fault and without it.

    python -m benchmarks gdss_published [--rows rewd PM] [--batches 2]

QED, M = 10, 200 noise levels where the code has 1000; every row is drawn twice, once with the masks of other molecules
that the published sampler gives to candidates, once with their own, in batches of 8 molecules. Three of the rows
choose by a network, one for each training of the authors' code; it is trained on the way. What is drawn is kept in
benchmarks/results/gdss_published.json and not drawn again: 7 minutes of one quiet core for a batch of every row. The
page docs/leaderboards/gdss_published.md and its figure are written from it.
"""

import argparse
from functools import cache, partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.trajectories import made
from benchmarks.gdss_published.page import MASKS, ROWS, figure, page
from benchmarks.gdss_published.sampler import Score, select
from benchmarks.gdss_published.training import TRAININGS, Examples, examples, reward_of, trained
from benchmarks.gdss_table.batches import RESULTS as TABLE
from svlearn.assets import fetch
from svlearn.domains.molecules.gdss import GDSS
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.graph import draw_mask
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

RESULTS, PAGE = Results("gdss_published", {"batches": {}, "training": {}}), PAGES / "gdss_published.md"
M, SEED, LEVELS, BATCH = 10, 1, 200, 8


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--batches", type=int, default=1, help="of each row (default 1)")


def measure(options: argparse.Namespace) -> None:
    for batch in range(options.batches):
        for name in tqdm(options.rows, unit="row"):
            for masks in MASKS:
                RESULTS.finish(partial(draw, name, masks, batch), "batches", f"{name}/{masks}/{batch}")


def pages() -> dict[Path, str]:
    held, table = RESULTS.read(), TABLE.read()
    return {PAGE: page(held, table), PAGE.with_suffix(".svg"): figure(held, table)}


@cache
def reference() -> GDSS:
    return GDSS.from_checkpoint(fetch("gdss/gdss_zinc250k.pth"), num_steps=LEVELS)


@cache
def data() -> Examples:
    return examples(reference())


def score_of(name: str) -> Score:
    """What a row chooses by."""
    if name not in TRAININGS:
        return reward_of
    network, figures = trained(name, data)
    if figures is not None:
        RESULTS.finish(lambda: figures, "training", name, again=True)
    return network


def draw(name: str, masks: str, batch: int) -> dict:
    """A batch of a row; both kinds of masks start from the same sizes and noise."""
    process, score, generator = reference(), score_of(name), seeded("cpu", SEED, batch)
    mask = draw_mask(process.size_weights, BATCH, generator=generator)
    start = clock()
    x, adj = select(process, score, mask, M, lambda shape: torch.randn(shape, generator=generator), masks == MASKS[0])
    seconds = since(start)["cpu_seconds"]
    finished, reward = continuous_state(x, adj, torch.ones_like(mask)), made("QED")
    rewards, smiles = reward(finished).tolist(), reward.scorer.smiles(finished)
    reward.scorer.close()
    return {
        "rewards": [round(each, 5) for each in rewards],
        "smiles": smiles,
        "valid": [each is not None for each in process.decode(finished)],
        "atoms": (x > 0.5).any(dim=2).sum(dim=1).tolist(),
        "asked": mask.sum(dim=1).tolist(),
        "cpu_seconds": seconds / BATCH,
        "provenance": provenance(),
    }
