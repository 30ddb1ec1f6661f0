"""Samplers on GDSS: milliseconds a molecule and corrected step, and what each way of saving brings to SVDD-PM.

    python -m benchmarks gdss_step [--turns 3]      # about 2 minutes a turn on two quiet cores

QED of 16 molecules, M = 10, 50 corrected steps, alpha = 0, the networks on one thread and one process that decodes
and scores. The sides take turns; each is reported by its median over turns of wall seconds and of processors' seconds
(the scoring process included). Writes benchmarks/results/gdss_step.json and, with the networks' own times from
the study gdss_networks, docs/leaderboards/gdss_speed.md.

    SVDD-PM                      the corrector's candidates alone; a score is remembered; scoring and network at once
    ..., one after the other     the network waits for the scores of all candidates
    ..., nothing remembered      and every candidate is decoded and scored
    ..., both steps' candidates  and the predictor's step has M candidates too
    pretrained                   plain sampling
    SVDD-MC, M = ...             a learned value: the network of the table (gdss_table), untrained here
"""

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path

from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gdss.values import new_network
from benchmarks.gdss_step.page import figures, page
from svlearn.assets import fetch
from svlearn.domains.molecules.gdss import GDSS, GDSSCodec
from svlearn.domains.molecules.rewards import QED
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

RESULTS, NETWORKS, PAGE = Results("gdss_step"), Results("gdss"), PAGES / "gdss_speed.md"
BATCH, M, STEPS = 16, 10, 50


class Waited(QED):
    """QED for whose scores the network waits."""

    asynchronous = False


class Forgetful(Waited):
    """QED that remembers nothing from one call to the next."""

    def __call__(self, graphs):
        self.forget()
        return super().__call__(graphs)


def training_free(process: GDSS, kind: type[QED], candidates: int | list[int]) -> tuple[QED, sv.Sampler]:
    reward = kind(correct=True, num_workers=1, codec=GDSSCodec())
    target = sv.Target(reward, 0.0)
    return reward, sv.svdd(process, target, sv.values.PosteriorMean(target), candidates)


def learned(process: GDSS, number: int) -> tuple[QED, sv.Sampler]:
    reward = QED(correct=True, num_workers=1, codec=GDSSCodec())
    network = new_network(process).eval().requires_grad_(False)
    target = sv.Target(reward, 0.0)
    return reward, sv.svdd(process, target, sv.values.Learned(network), process.num_candidates(number))


def plain(process: GDSS) -> tuple[QED, sv.Sampler]:
    reward = QED(correct=True, num_workers=1, codec=GDSSCodec())
    return reward, sv.ancestral(process, sv.Target(reward, 0.0))


SAVINGS: dict[str, Callable[[GDSS], tuple[QED, sv.Sampler]]] = {
    "SVDD-PM": lambda process: training_free(process, QED, process.num_candidates(M)),
    "SVDD-PM, one after the other": lambda process: training_free(process, Waited, process.num_candidates(M)),
    "SVDD-PM, nothing remembered": lambda process: training_free(process, Forgetful, process.num_candidates(M)),
    "SVDD-PM, both steps' candidates": lambda process: training_free(process, Forgetful, M),
}
SIDES = {
    **SAVINGS,
    "pretrained": plain,
    "SVDD-MC, M = 10": lambda process: learned(process, 10),
    "SVDD-MC, M = 100": lambda process: learned(process, 100),
}


def run(process: GDSS, side: str) -> dict[str, float]:
    """One run: calls and milliseconds a molecule and corrected step."""
    reward, sampler = SIDES[side](process)
    start = clock()
    samples = sampler.sample(BATCH, generator=seeded("cpu", 0))
    counts = reward.scorer.counts
    reward.scorer.close()  # whose seconds count once it has ended
    share = 1 / (BATCH * STEPS)
    spent = {name: 1e3 * seconds * share for name, seconds in since(start).items()}
    return {
        "wall_ms": spent["seconds"],
        "cpu_ms": spent["cpu_seconds"],
        "reference_calls": samples.cost.reference_calls * share,
        "value_calls": samples.cost.value_calls * share,
        "built": counts.built * share,
        "scored": counts.scored * share,
    }


def summary(turns: list[dict[str, float]]) -> dict[str, float]:
    """Medians over turns, and the least and the largest of the clocks."""
    medians = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    for name in ("wall_ms", "cpu_ms"):
        medians[f"least_{name}"], medians[f"largest_{name}"] = (f(turn[name] for turn in turns) for f in (min, max))
    return medians


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--turns", type=int, default=3, help="of each side (default 3)")


def measure(options: argparse.Namespace) -> None:
    load, turns = os.getloadavg()[0], dict[str, list[dict[str, float]]]()
    process = GDSS.from_checkpoint(fetch("gdss/gdss_zinc250k.pth"), num_steps=STEPS)
    for side in tqdm([*SIDES] * options.turns, unit="run"):
        turns.setdefault(side, []).append(run(process, side))
    RESULTS.write(
        {
            "batch": BATCH,
            "candidates": M,
            "steps": STEPS,
            "turns": options.turns,
            "load": load,
            "sides": {side: summary(own) for side, own in turns.items()},
            "provenance": provenance(),
        }
    )


def pages() -> dict[Path, str]:
    held = NETWORKS.read(), RESULTS.read()
    if not all(held):
        return {}
    return {PAGE: page(*held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held[1]).items()}
