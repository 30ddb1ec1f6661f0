"""The reward network of DPS in the table of GDSS."""

import json

import torch
from rdkit import Chem
from scipy import stats
from tensordict import TensorDict
from torch import Tensor

import svlearn as sv
from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.gdss.regression import regress
from benchmarks.gdss.trajectories import RUNS, SEED, made, trajectories
from benchmarks.gdss.values import DEPTH, WIDTH, new_network
from benchmarks.gdss.zinc250k import smiles
from svlearn.checkpoints import load_value, save_value
from svlearn.domains.molecules.gdss.encode import encode
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.randomness import seeded

NUM_KNOWN, NUM_STEPS, BATCH, RATE, BLUR = 20_000, 2000, 128, 2e-3, 0.2


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
    return PredictedReward(load_value(new_network(reference), file, reference).eval().requires_grad_(False))


def _fitted(name: str, reference: sv.Reference) -> GraphValueNetwork:
    known, generator = smiles(), seeded("cpu", SEED)
    chosen = torch.randperm(len(known), generator=generator)[:NUM_KNOWN].tolist()
    molecules = [Chem.MolFromSmiles(known[place]) for place in chosen]
    states = encode(molecules, len(reference.size_weights), losses="count")
    rewards = made(name).of_molecules(molecules)

    def draw() -> tuple[TensorDict, Tensor]:
        rows = torch.randint(len(rewards), (BATCH,), generator=generator)
        batch = states[rows]
        for part in ("x", "adj"):
            batch[part] = batch[part] + BLUR * torch.randn(batch[part].shape, generator=generator)
        return batch, rewards[rows]

    scale = float(rewards.var())
    return regress(lambda: new_network(reference), draw, steps=NUM_STEPS, rate=RATE, seed=SEED, scale=scale)
