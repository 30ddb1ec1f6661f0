"""Batches of the rows of the table of GDSS: molecules, their rewards, and what they cost."""

from functools import cache
from statistics import fmean

import torch

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.results import Results
from benchmarks.gdss.trajectories import made, trajectories
from benchmarks.gdss_table.samplers import N, Row
from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.rewards import MoleculeReward
from svlearn.evaluation.divergence import reference_kl
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded

RESULTS = Results("gdss_table", {"batches": {}, "training": {}})
BATCH, NUM_BATCHES, SEED = 32, 4, 1


def key(reward: str, row: str, seed: int, batch: int) -> str:
    return f"{reward}/{row}/{seed}/{batch}"


@cache
def reference() -> sv.Reference:
    return sv.load("gdss-zinc250k")


def draw(reward: str, kind: Row, seed: int, batch: int, strength: float | None = None) -> dict:
    """A batch of a row: molecules, their rewards, whether they came valid without repair, and what they cost."""
    process = reference()
    target = sv.Target(made(reward), 0.0 if strength is None else 1.0)
    if kind.stored:
        states, rewards, spent = stored(reward, batch)
    else:
        sampler = kind.make(process, target, reward, *([] if strength is None else [strength]))
        samples, spent = priced(sampler, target.reward, BATCH * kind.runs, seeded("cpu", seed, batch))
        states, rewards = samples.states[:, 0], samples.rewards[:, 0]
    best = rewards.view(BATCH, kind.runs).argmax(dim=1) + torch.arange(BATCH) * kind.runs
    plain = process.decode(states[best])
    figures = {
        "rewards": [round(each, 5) for each in rewards[best].tolist()],
        "smiles": target.reward.scorer.smiles(states[best]),
        "valid": [each is not None for each in plain],
        "one_piece": metrics.connected_validity(plain),
        "per_molecule": {name: amount / BATCH for name, amount in spent.items()},
        "provenance": provenance(),
    }
    target.reward.scorer.close()
    if strength is None:
        return figures
    return figures | {"strength": strength, "kl": reference_kl(samples, target.alpha)[0]}


def priced(
    sampler: sv.Sampler, reward: MoleculeReward, number: int, generator: torch.Generator
) -> tuple[sv.Samples, dict]:
    """So many samples, and their calls and seconds."""
    start = clock()
    samples = sampler.sample(number, generator=generator)
    rewards = [each.target.reward for each in sampler.value.modules() if isinstance(each, sv.values.PosteriorMean)]
    for each in (reward, *rewards):  # whose seconds count once they have ended
        if isinstance(each, MoleculeReward):
            each.scorer.close()
    spent = {each: getattr(samples.cost, each) for each in KINDS} | since(start)
    return samples, spent


def stored(reward: str, batch: int) -> tuple:
    """Finished states and rewards of the stored trajectories, and what drawing them costs."""
    rollouts, rows = trajectories(reward), slice(batch * BATCH * N, (batch + 1) * BATCH * N)
    return rollouts.states[rows, rollouts.request.num_steps], rollouts.rewards[rows], plain_costs(reward, BATCH * N)


def plain_costs(reward: str, number: int) -> dict:
    """What so many samples of the reference cost, by the row `pretrained`."""
    costs = [
        each["per_molecule"] for name, each in RESULTS.read()["batches"].items() if name.startswith(f"{reward}/pre")
    ]
    return {name: fmean(each[name] for each in costs) * number for name in costs[0]}
