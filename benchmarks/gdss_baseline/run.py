"""Unguided molecules of GDSS, by QED: which checkpoint is the SVDD paper's, and what the corrector's norms matter.

    python -m benchmarks gdss_baseline [--rows v1 "v1, batch norms"]
    python -m benchmarks gdss_baseline --distribution     # the distances to ZINC-250k alone: about 5 minutes

Every row draws 256 molecules at 200 predictor steps in batches of 64, repairs their valences as the authors do, and
scores them. Writes benchmarks/results/gdss_baseline.json after each batch; what is there is not drawn again. The page,
docs/leaderboards/gdss_unguided.md, is written from it.

    v1, v2               the two checkpoints for ZINC-250k, with the authors' corrector, its norms of each molecule
    ... batch norms      the norms averaged over the batch, as the authors do: the molecules of a batch are coupled
    ... predictor alone  no corrector

`coupling` compares the first two: the difference of their mean QED with its standard error, and the p-value of a
Kolmogorov-Smirnov test that both draw from one law. `published` are the figures to meet: the SVDD paper's table 2,
and the authors' code as it was run here, which drew node counts from a normal (23, 4.5). `distribution` holds the
finished molecules of the trajectories of the table (gdss_table) against ZINC-250k: FCD, NSPDK, novelty.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem
from scipy import stats
from torch import Tensor
from tqdm import tqdm

from benchmarks.common.clock import clock, since
from benchmarks.common.command import add_choice
from benchmarks.common.pages import write_pages
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.trajectories import trajectories
from benchmarks.gdss.zinc250k import smiles
from benchmarks.gdss_baseline import page as written
from svlearn.assets import fetch
from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.distribution_metrics import chemnet_activations, frechet_chemnet_distance, nspdk_mmd
from svlearn.domains.molecules.gdss.corrector import Langevin, expected_norms
from svlearn.domains.molecules.gdss.decode import GDSSCodec, decode
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.rewards import QED
from svlearn.evaluation.report.provenance import provenance
from svlearn.evaluation.summary import reward_figures
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded

RESULTS, PAGE = Results("gdss_baseline", {"rows": {}}), PAGES / "gdss_unguided.md"
NUM_STEPS, BATCH, NUM_BATCHES, KNOWN = 200, 64, 4, 5000
PUBLISHED = {
    "paper, table 2": {"reward_quantile_80": 0.771, "reward_quantile_90": 0.812},
    "authors' code, 200 steps, 64 molecules": {
        "mean_reward": 0.624,
        "reward_quantile_80": 0.759,
        "reward_quantile_90": 0.816,
    },
    "authors' code, 1000 steps, 32 molecules": {
        "mean_reward": 0.616,
        "reward_quantile_80": 0.761,
        "reward_quantile_90": 0.789,
    },
    "authors' code, predictor alone, 200 steps, 48 molecules": {
        "mean_reward": 0.422,
        "reward_quantile_80": 0.559,
        "reward_quantile_90": 0.663,
    },
}


@dataclass(frozen=True)
class BatchNorms(Langevin):
    """The corrector with both norms averaged over the batch (solver.py of harryjo97/GDSS), the noise's expected."""

    def step_sizes(self, score_norms: Tensor, dimensions: Tensor, alphas: Tensor) -> Tensor:
        return 2.0 * alphas * (self.snr * expected_norms(dimensions).mean() / score_norms.mean()) ** 2


V1, V2 = "gdss/gdss_zinc250k.pth", "gdss/gdss_zinc250k_v2.pth"
ROWS: dict[str, tuple[str, bool | Langevin]] = {
    "v1": (V1, True),
    "v1, batch norms": (V1, BatchNorms(scale=0.9)),
    "v1, predictor alone": (V1, False),
    "v2": (V2, True),
    "v2, batch norms": (V2, BatchNorms(scale=0.8)),
}


def draw(name: str, number: int, reference: GDSS, reward: QED) -> dict:
    """One batch of a row: its rewards, how its molecules came without repair, and its seconds."""
    start = clock()
    seeds = list(ROWS).index(name), number
    states = ancestral(reference).sample(BATCH, generator=seeded("cpu", *seeds)).states[:, 0]
    seconds = since(start)["seconds"]
    plain, repaired = reference.decode(states), reference.decode(states, correct=True)
    return {
        "rewards": [round(each, 5) for each in reward(states).tolist()],
        "as they come": metrics.describe(plain),
        "repaired": metrics.describe(repaired),
        "seconds": seconds,
    }


def figures(batches: list[dict]) -> dict[str, float]:
    """What the batches of a row come to."""
    rewards = np.array([batch["rewards"] for batch in batches])
    row = {"num_samples": rewards.size, **reward_figures(rewards, np.random.default_rng(0))}
    row = {name: value for name, value in row.items() if not math.isnan(value) and "finite" not in name}
    for kind in ("as they come", "repaired"):
        for name in batches[0][kind]:
            row[f"{name}, {kind}"] = float(np.mean([batch[kind][name] for batch in batches]))
    row["seconds_per_sample"] = float(np.sum([batch["seconds"] for batch in batches]) / rewards.size)
    return row


def coupling(rows: dict[str, dict], name: str) -> dict[str, float]:
    """Each molecule's own norms against the batch's."""
    own, coupled = (
        np.concatenate([batch["rewards"] for batch in rows[row]["batches"]]) for row in (name, f"{name}, batch norms")
    )
    return {
        "difference_of_means": float(own.mean() - coupled.mean()),
        "standard_error": math.sqrt(own.var(ddof=1) / len(own) + coupled.var(ddof=1) / len(coupled)),
        "kolmogorov_smirnov_p_value": float(stats.ks_2samp(own, coupled).pvalue),
    }


def distribution() -> dict:
    """The reference's molecules, and as many of the data, beside `KNOWN` others of the data."""
    rollouts = trajectories("QED")
    states = rollouts.states[:, rollouts.request.num_steps]
    drawn, plain, number = decode(states, correct=True), decode(states), len(states)
    every = smiles()
    order = torch.randperm(len(every), generator=seeded("cpu", 0))[: KNOWN + number].tolist()
    chosen = [Chem.MolFromSmiles(every[place]) for place in tqdm(order, desc="reading")]
    known, others = chosen[:KNOWN], chosen[KNOWN:]
    activations, data = chemnet_activations(known), {Chem.CanonSmiles(text) for text in tqdm(every, desc="reading")}
    sets = {}
    for name, molecules in (("v1", drawn), ("ZINC-250k", others)):
        sets[name] = {
            "uniqueness": metrics.uniqueness(molecules),
            "diversity": metrics.internal_diversity(molecules),
            "scaffold_diversity": metrics.scaffold_diversity(molecules),
            "fcd": frechet_chemnet_distance(molecules, activations),
            "nspdk": nspdk_mmd(molecules, known),
        }
    sets["v1"] |= {"novelty": metrics.novelty(drawn, data)}
    sets["v1"] |= {"validity": metrics.validity(plain), "connected": metrics.connected_validity(plain)}
    return {"number": number, "reference": KNOWN, "sets": sets, "provenance": provenance()}


def keep(name: str, batch: dict) -> None:
    """Add a batch to a row, and say anew what all come to."""
    held = RESULTS.read()
    row = held["rows"].setdefault(name, {"batches": []})
    row["batches"].append(batch)
    row["figures"] = figures(row["batches"])
    row["provenance"] = provenance()
    held["rows"] = {each: held["rows"][each] for each in ROWS if each in held["rows"]}
    pairs = [each for each in ("v1", "v2") if {each, f"{each}, batch norms"} <= set(held["rows"])]
    held["coupling"] = {each: coupling(held["rows"], each) for each in pairs}
    RESULTS.write(held | {"published": PUBLISHED})
    write_pages(pages())


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--rows", ROWS)
    parser.add_argument("--distribution", action="store_true", help="measure the distances to ZINC-250k, and no row")


def measure(options: argparse.Namespace) -> None:
    if options.distribution:
        distances = distribution()
        return RESULTS.write(RESULTS.read() | {"distribution": distances})
    reward = QED(correct=True, num_workers=1, codec=GDSSCodec())
    for name in options.rows:
        asset, corrector = ROWS[name]
        reference = GDSS.from_checkpoint(fetch(asset), NUM_STEPS, corrector)
        done = len(RESULTS.read()["rows"].get(name, {"batches": []})["batches"])
        for number in tqdm(range(done, NUM_BATCHES), desc=name, unit="batch"):
            keep(name, draw(name, number, reference, reward))


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: written.page(held)} | {
        PAGE.with_name(name): drawing for name, drawing in written.figures(held).items()
    }
