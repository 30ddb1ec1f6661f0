"""Surrogates of few dockings on fa7, jak2 and parp1: what they are worth in SVDD-PM, and from how many molecules on.

    python -m benchmarks receptors [--receptors fa7] [--batches 3]

Each receptor docks the same 64 plain molecules of GDSS, a surrogate learns from them, and SVDD-PM chooses by it among
M = 10 candidates at 200 corrected steps; a molecule is docked at its end alone, by one search (exhaustiveness 1). What
is measured is kept in benchmarks/results/receptors.json and not measured again: some six minutes of a quiet core a
receptor. docs/leaderboards/receptors.md is written from it.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss_docking.training import TIMEOUT
from benchmarks.gdss_table.batches import plain_costs, priced, reference
from benchmarks.receptors.page import RECEPTORS, page
from svlearn.domains.molecules.docking import Docking
from svlearn.domains.molecules.gdss import GDSSCodec
from svlearn.domains.molecules.surrogate import Surrogate, foreseen
from svlearn.evaluation.report.provenance import provenance
from svlearn.loading import shipped
from svlearn.randomness import seeded

RESULTS = Results("receptors", {"plain": {}, "guided": {}, "surrogates": {}})
NUM_LEARNED, CHUNK, BATCH, M, SEED, FOLDS = 64, 16, 8, 10, 3, 8
READING: dict[str, Any] = {"correct": True, "num_workers": 1, "codec": GDSSCodec()}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--receptors", RECEPTORS)
    parser.add_argument("--batches", type=int, default=2, help=f"of {BATCH} guided molecules (default 2)")


def measure(options: argparse.Namespace) -> None:
    for receptor in tqdm(options.receptors, unit="receptor"):
        for chunk in range(NUM_LEARNED // CHUNK):
            RESULTS.finish(partial(dock, receptor, chunk), "plain", f"{receptor}/{chunk}")
        RESULTS.finish(partial(judged, receptor), "surrogates", receptor)
        for batch in range(options.batches):
            RESULTS.finish(partial(draw, receptor, batch), "guided", f"{receptor}/{batch}")


def pages() -> dict[Path, str]:
    return {PAGES / "receptors.md": page(RESULTS.read())}


def made(receptor: str) -> Docking:
    """Without a store, so that each docking is paid for."""
    return Docking(receptor, exhaustiveness=1, timeout=TIMEOUT, **READING)


def dock(receptor: str, chunk: int) -> dict:
    """Some of the plain molecules; drawing one costs what it does in the table of QED."""
    known = json.loads(shipped("gdss_parp1_docked.json").read_text())["smiles"]
    smiles, reward, start = known[chunk * CHUNK : (chunk + 1) * CHUNK], made(receptor), clock()
    rewards = reward.of_smiles(smiles).tolist()
    report = reward.report()
    reward.scorer.close()  # whose seconds count once it has ended
    docking = since(start)["cpu_seconds"] / len(smiles)
    drawing = plain_costs("QED", 1)["cpu_seconds"]
    return record(rewards, smiles, report, {"cpu_seconds": docking + drawing, "docking_seconds": docking})


def learned(receptor: str) -> tuple[list[str], list[float]]:
    """SMILES and scores of what was docked to learn from."""
    chunks = [RESULTS.read()["plain"][f"{receptor}/{chunk}"] for chunk in range(NUM_LEARNED // CHUNK)]
    return [each for part in chunks for each in part["smiles"]], [each for part in chunks for each in part["rewards"]]


def judged(receptor: str) -> dict:
    """What fitting a surrogate takes, and its correlation with the scores of molecules that it did not learn from."""
    smiles, rewards = learned(receptor)
    start = clock()
    Surrogate(smiles, rewards, **READING).scorer.close()
    spent, guesses = since(start)["cpu_seconds"], foreseen(smiles, rewards, folds=FOLDS)
    return {"pearson": float(np.corrcoef(guesses, rewards)[0, 1]), "cpu_seconds": spent, "learned": len(smiles)}


def draw(receptor: str, batch: int) -> dict:
    """Molecules of SVDD-PM by the surrogate; each batch fits it anew, outside the clock."""
    process, reward = reference(), made(receptor)
    value = sv.values.PosteriorMean(sv.Target(Surrogate(*learned(receptor), **READING), 0.0))
    sampler = sv.svdd(process, sv.Target(reward, 0.0), value, process.num_candidates(M))
    samples, spent = priced(sampler, reward, BATCH, seeded("cpu", SEED, batch))
    smiles = reward.scorer.smiles(samples.states[:, 0])
    costs = {name: amount / BATCH for name, amount in spent.items()}
    return record(samples.rewards[:, 0].tolist(), smiles, reward.report(), costs)


def record(rewards: Sequence[float], smiles: Sequence[str | None], report: dict, costs: dict[str, float]) -> dict:
    return {
        "rewards": [round(each, 3) for each in rewards],
        "smiles": list(smiles),
        "report": report,
        "per_molecule": costs,
        "provenance": provenance(),
    }
