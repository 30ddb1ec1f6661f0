"""What a docking costs and how far one search can be trusted: Vina against a receptor, by its exhaustiveness.

    python -m benchmarks docking                                        # 8 molecules of ZINC-250k, about 8 minutes
    python -m benchmarks docking --molecules 64 --receptor jak2

Molecules are taken at equal distances in the file. Each is docked with every exhaustiveness in one process and one
thread; seconds are CPU seconds of conformer, ligand and search, without the receptor's maps, which a process makes
once. The rewards of seed 1 are compared with those of exhaustiveness 8 and seed 2, from another conformer and with
other random numbers. Writes benchmarks/results/docking.json molecule by molecule; a second run goes on.
"""

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from rdkit import Chem
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from benchmarks.common.results import Results
from benchmarks.gdss.zinc250k import smiles as zinc250k
from svlearn.domains.molecules.docking import BOXES, Docking, versions
from svlearn.domains.molecules.docking_vina import Dock
from svlearn.evaluation.report.provenance import provenance

RESULTS = Results("docking")
EXHAUSTIVENESS = (1, 2, 4, 8)
RUNS = {1: (1, 2, 4, 8), 2: (1, 8)}  # the exhaustiveness of each seed


def molecules(number: int) -> list[str]:
    """Canonical SMILES of ZINC-250k at equal distances."""
    lines = zinc250k()
    return [Chem.CanonSmiles(lines[len(lines) * place // number]) for place in range(number)]


def dock(dock_once: Dock, smiles: str) -> dict[str, Any]:
    """Reward (kcal/mol) and CPU seconds by seed and exhaustiveness."""
    entry: dict[str, Any] = {"smiles": smiles, "heavy_atoms": Chem.MolFromSmiles(smiles).GetNumAtoms()}
    for seed, numbers in RUNS.items():
        replace(dock_once, seed=seed, exhaustiveness=1)(Chem.MolFromSmiles("C"))  # makes the maps, outside the clock
        for exhaustiveness in numbers:
            run = replace(dock_once, exhaustiveness=exhaustiveness, seed=seed)
            start = time.process_time()
            reward = run(Chem.MolFromSmiles(smiles))
            seconds = time.process_time() - start
            entry[f"{exhaustiveness}/{seed}"] = {"reward": reward, "seconds": seconds}
    return entry


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By exhaustiveness: CPU seconds a molecule, the mean reward, and its agreement with the best search."""

    def column(exhaustiveness: int, seed: int, name: str = "reward") -> np.ndarray:
        return np.array([row[f"{exhaustiveness}/{seed}"][name] for row in rows])

    best, result = column(8, 2), {}
    for each in EXHAUSTIVENESS:
        seconds, rewards = column(each, 1, "seconds"), column(each, 1)
        result[str(each)] = {
            "seconds": seconds.mean(),
            "slowest": seconds.max(),
            "reward": rewards.mean(),
            "below_best": (best - rewards).mean(),
            "rms_from_best": np.sqrt(np.square(best - rewards).mean()),
            "pearson_with_best": np.corrcoef(rewards, best)[0, 1],
            "spearman_with_best": spearmanr(rewards, best).statistic,
        }
    between = {str(each): np.sqrt(np.square(column(each, 1) - column(each, 2)).mean()) for each in RUNS[2]}
    numbers = {"by_exhaustiveness": result, "rms_between_seeds": between, "reward_std": best.std(ddof=1)}
    return json.loads(json.dumps(numbers, default=float))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--molecules", type=int, default=8, help="how many (default 8)")
    parser.add_argument("--receptor", choices=list(BOXES), default="parp1", help="default parp1")


def measure(options: argparse.Namespace) -> None:
    results = RESULTS.read()
    entry = results.setdefault(options.receptor, {"molecules": []})
    done = {row["smiles"]: row for row in entry["molecules"]}
    chosen = molecules(options.molecules)
    dock_once = Docking(options.receptor).scorer.function
    for smiles in tqdm(chosen, desc="docking"):
        if smiles in done:
            continue
        done[smiles] = dock(dock_once, smiles)
        rows = [done[text] for text in chosen if text in done]
        entry.update(
            molecules=rows, summary=summary(rows) if len(rows) > 2 else {}, provenance={**provenance(), **versions()}
        )
        RESULTS.write(results)
    for each, figures in entry["summary"]["by_exhaustiveness"].items():
        print(each, {name: round(number, 3) for name, number in figures.items()})
