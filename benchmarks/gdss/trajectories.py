"""Trajectories of GDSS that its studies learn from and draw on.

Half a second a molecule on one quiet core, 3 MB on disk; a run that was killed goes on where it was.
"""

import os
from dataclasses import replace
from pathlib import Path

import torch

import svlearn as sv
from benchmarks.common.paths import RUNS as ALL_RUNS
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.rewards import QED, SA, MoleculeReward
from svlearn.identity import identity
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import MANIFEST, Manifest

RUNS = ALL_RUNS / "gdss_table"
REWARDS: dict[str, type[MoleculeReward]] = {"QED": QED, "SA": SA}
NUM_TRAJECTORIES, COLLECT_BATCH, SEED = 1280, 64, 0


def made(name: str) -> MoleculeReward:
    return REWARDS[name](correct=True, num_workers=1, codec=GDSSCodec())


def home(training: int = SEED) -> Path:
    """Where a training keeps its trajectories and values; that of the table is the first."""
    return RUNS if training == SEED else RUNS / f"training_{training}"


def store(name: str, training: int = SEED) -> Path:
    return home(training) / f"rollouts_{name}"


def trajectories(name: str, training: int = SEED) -> Rollouts:
    """The reference's trajectories with their rewards, of a training; the same ones for every reward."""
    path = store(name, training)
    if name == "QED":
        target, reference = sv.Target(made(name), 0.0), sv.load("gdss-zinc250k")
        return collect(reference, NUM_TRAJECTORIES, path, target=target, batch_size=COLLECT_BATCH, seed=training)
    own = trajectories("QED", training)
    if not (path / MANIFEST).exists() or not same_states(Rollouts.open(path), own):
        rescored(own, name, path)
    return Rollouts.open(path)


def same_states(rollouts: Rollouts, others: Rollouts) -> bool:
    """Whether two stores were asked for the same trajectories, whatever their rewards."""
    names = ("kind", "num_trajectories", "num_steps", "batch_size", "seed", "process", "proposal")
    return all(getattr(rollouts.request, name) == getattr(others.request, name) for name in names)


def rescored(rollouts: Rollouts, name: str, path: Path) -> None:
    """A store of the same trajectories with another reward: links to their files, but for that of the rewards."""
    held = Manifest.read(rollouts.path)
    for file in held.files:
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).unlink(missing_ok=True)
        if Path(file).name == "rewards.memmap":
            (path / file).write_bytes((rollouts.path / file).read_bytes())
        else:
            os.link(rollouts.path / file, path / file)
    linked = type(rollouts.data).load_memmap(path / "data", allow_pickle=False)
    last = rollouts.request.num_steps
    reward = made(name)
    linked["rewards"].copy_(torch.cat([reward(linked["states"][i : i + 64, last]) for i in range(0, len(linked), 64)]))
    request = replace(held.request, reward=name, reward_identity=identity(reward))
    replace(held, request=request).write(path)
