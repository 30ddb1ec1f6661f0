"""What the table of GDSS learns from and learns: trajectories of the reference on disk, values, reward networks.

    python benchmarks/gdss_table_training.py [--train contrastive_twist monte_carlo] [--ship]

collects the trajectories: half a second a molecule on one quiet core, 3 MB on disk. A run that was killed goes on
where it was. --train fits values of them, which the table then takes in the place of the shipped ones; --ship copies
those of the families of `pretrained.value` to checkpoints/.
"""

import argparse
import gzip
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from rdkit import Chem
from scipy import stats
from torch import nn

import svlearn as sv
from benchmarks.common.artifacts import configs, missing
from benchmarks.qm9.training import clock, since
from svlearn.assets import fetch
from svlearn.checkpoints import load_value, read_record, save_value
from svlearn.domains.molecules.gdss import pretrained
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.gdss.encode import encode
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward, save_network
from svlearn.domains.molecules.rewards import QED, SA, MoleculeReward
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.identity import identity
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import MANIFEST, Manifest

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs/molecules/gdss"
RUNS = ROOT / "runs/gdss_table"
REWARDS: dict[str, type[MoleculeReward]] = {"QED": QED, "SA": SA}
NUM_TRAJECTORIES, COLLECT_BATCH, SEED = 1280, 64, 0
WIDTH, DEPTH = 48, 3  # as in value.yaml
NUM_KNOWN, NUM_STEPS, BATCH, RATE, BLUR = 20_000, 2000, 128, 2e-3, 0.2  # of a reward network


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
    asked = ("kind", "num_trajectories", "num_steps", "batch_size", "seed", "process", "proposal")
    return all(getattr(rollouts.request, name) == getattr(others.request, name) for name in asked)


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


def train(name: str, family: str, *options: str, training: int = SEED) -> dict:
    """Run the script of the values on the trajectories, with more options; its wall and processor seconds."""
    folder = home(training) / name / family
    arguments = [word for each in settings(name, family) for word in ("--config", str(each))]
    where = ["--trainer.default_root_dir", str(folder), "--trainer.logger.init_args.save_dir", str(folder)]
    start = clock()
    subprocess.run(
        [
            sys.executable,
            "scripts/train_value.py",
            "fit",
            *arguments,
            *where,
            "--seed_everything",
            str(training),
            "--data.init_args.path",
            str(store(name, training)),
            *options,
        ],
        cwd=ROOT,
        check=True,
    )
    return since(start)


def settings(name: str, family: str) -> list[Path]:
    """The YAML files of a reward and a family."""
    of_reward = [] if name == "QED" else [CONFIGS / f"rewards/{name.lower()}.yaml"]
    return [CONFIGS / "value.yaml", *of_reward, CONFIGS / f"values/{family}.yaml"]


def untrained(file: Path, name: str, family: str, *options: str, training: int = SEED) -> bool:
    """Whether a value has yet to be trained, as `kept.missing` tells it."""
    collected = {"number": NUM_TRAJECTORIES, "batch": COLLECT_BATCH, "seed": training}
    made_of = {"configs": configs(*settings(name, family)), "options": options, "trajectories": collected}
    return missing(file, reference=fingerprint(sv.load("gdss-zinc250k")), **made_of)


def learned(name: str, family: str, reference: sv.Reference, training: int = SEED) -> sv.values.Learned:
    """The value of a family: the one trained here, else the shipped one, and else one that is trained now."""
    file = home(training) / name / family / "value.safetensors"
    if not file.exists() and family in pretrained.FAMILIES and training == SEED:
        return pretrained.value(reference, name, family)
    fit(name, family, training)
    return sv.values.Learned(load_value(_network(reference), file, reference).eval())


def fit(name: str, family: str, training: int = SEED) -> None:
    """Train a value where there is none yet, and note what that took."""
    file = home(training) / name / family / "value.safetensors"
    if untrained(file, name, family, training=training):
        trajectories(name, training)
        write(file.with_name("cost.json"), json.dumps(train(name, family, training=training)))


def ship() -> None:
    """Write the values trained here to checkpoints/, with what it takes to build them."""
    reference = sv.load("gdss-zinc250k")
    for name, family in itertools.product(pretrained.VALUED, pretrained.FAMILIES):
        file = RUNS / name / family / "value.safetensors"
        if file.exists():
            network = load_value(_network(reference), file, reference)
            told = read_record(file) | {"reward": name, "family": family}
            print(save_network(network, ROOT / f"checkpoints/gdss_{name}_{family}.safetensors", **told))


def reward_network(name: str, reference: sv.Reference) -> PredictedReward:
    """r_θ of DPS, trained where there is none yet: the squared error on molecules of ZINC-250k, blurred a little.

    Beside it a note with its Pearson correlation with the reward on the finished states of `trajectories`.
    """
    file = RUNS / name / "reward_network.safetensors"
    made_of = {"molecules": NUM_KNOWN, "width": WIDTH, "depth": DEPTH, "steps": NUM_STEPS, "batch": BATCH, "rate": RATE}
    if missing(file, reference=fingerprint(reference), blur=BLUR, seed=SEED, **made_of):
        start = clock()
        network = _fitted(name, reference)
        seconds = since(start)
        save_value(network, file, reference, objective="squared error on ZINC-250k")
        rollouts = trajectories(name)
        with torch.no_grad():
            guesses = PredictedReward(network)(rollouts.states[:, reference.num_steps])
        pearson = float(stats.pearsonr(guesses.numpy(), rollouts.rewards.numpy()).statistic)
        write(file.with_name("reward_network.json"), json.dumps({"pearson": pearson, **seconds}))
    return PredictedReward(load_value(_network(reference), file, reference).eval().requires_grad_(False))


def _fitted(name: str, reference: sv.Reference) -> nn.Module:
    with gzip.open(fetch("molecules/zinc250k_smiles.txt.gz"), "rt") as lines:
        smiles = lines.read().split()
    generator = seeded("cpu", SEED)
    chosen = torch.randperm(len(smiles), generator=generator)[:NUM_KNOWN].tolist()
    molecules = [Chem.MolFromSmiles(smiles[place]) for place in chosen]
    states = encode(molecules, len(reference.size_weights), losses="count")
    rewards = made(name).of_molecules(molecules)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)  # the only way to seed the weights of torch's layers
        network = _network(reference)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, NUM_STEPS)
    for _ in range(NUM_STEPS):
        rows = torch.randint(len(rewards), (BATCH,), generator=generator)
        batch = states[rows]
        for part in ("x", "adj"):
            batch[part] = batch[part] + BLUR * torch.randn(batch[part].shape, generator=generator)
        loss = (PredictedReward(network)(batch) - rewards[rows]).square().mean() / rewards.var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _network(reference: sv.Reference) -> GraphValueNetwork:
    return GraphValueNetwork(reference.num_steps, reference.num_features, WIDTH, DEPTH)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", default=[], metavar="FAMILY", help="families of values to train")
    parser.add_argument("--ship", action="store_true", help="copy what was trained to checkpoints/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for reward_name in REWARDS:
        trajectories(reward_name)
        for wanted in options.train:
            fit(reward_name, wanted)
    if options.ship:
        ship()
