"""What the docking table of GDSS learns from and learns: the reference's molecules docked, and a value of their scores.

The finished states of the trajectories of `gdss.trajectories` are docked chunk by chunk. What was docked is on disk; a
run that was killed goes on from there. The table takes the values that are trained in the place of the shipped ones.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

import svlearn as sv
from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import ROOT
from benchmarks.gdss.trajectories import RUNS, store, trajectories
from benchmarks.gdss.values import new_network, train, untrained
from svlearn.checkpoints import load_value
from svlearn.domains.molecules.docking import Docking
from svlearn.domains.molecules.gdss import pretrained
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.surrogate import foreseen
from svlearn.files import write
from svlearn.fingerprint import fingerprint_of_states
from svlearn.identity import identity
from svlearn.loading import shipped
from svlearn.rollouts import RolloutData, Rollouts
from svlearn.rollouts.store import Writer
from svlearn.values.calibration import calibrate

RECEPTOR, FAMILY = "parp1", "monte_carlo"
TWIST, ALPHA = "contrastive_twist", 1.5  # kcal/mol; its YAML has the temperature of rewards in [0, 1]
OPTIONS = {FAMILY: (), TWIST: ("--model.init_args.target.alpha", str(ALPHA))}
START = 240  # from which a surrogate has the steps: what was best for QED, and not tuned here
NUM_DOCKED = 1024  # as in rewards/parp1.yaml
FOLDS = 10
TIMEOUT = 600.0  # of a clock on the wall, on cores that others use too
QUARTERS = (100, 200, 300, 399)  # the times at which a value is judged


def made(cache: Path | None = None, num_workers: int = 2) -> Docking:
    options = {"correct": True, "num_workers": num_workers, "timeout": TIMEOUT, "codec": GDSSCodec()}
    return Docking(RECEPTOR, exhaustiveness=1, cache=cache, **options)


def docked(chunk: int, rollouts: Rollouts) -> dict:
    """Rewards and SMILES of a chunk's molecules, what became of the dockings, and what they took."""
    note = RUNS / RECEPTOR / f"docked/{chunk}.json"
    states = rollouts.states[rollouts.request.rows(chunk), rollouts.request.num_steps]
    if missing(note, states=fingerprint_of_states(states), receptor=RECEPTOR, timeout=TIMEOUT):
        start, reward = clock(), made(RUNS / "docking.sqlite")
        rewards, smiles = reward(states).tolist(), reward.scorer.smiles(states)
        content = {"rewards": rewards, "smiles": smiles, "report": reward.report()}
        reward.scorer.close()  # whose seconds count once it has ended
        write(note, json.dumps(content | since(start)))
    return json.loads(note.read_text())


def seconds_a_docking(notes: Iterable[dict]) -> dict[str, float]:
    """By the clock and of the processor; those that a killed run had made are left out, for their seconds are lost."""
    notes = list(notes)
    made_here = sum(note["report"]["docked"] for note in notes)
    return {name: sum(note[name] for note in notes) / made_here for name in ("seconds", "cpu_seconds")}


def scored() -> Rollouts:
    """The first of the reference's trajectories, with their docking scores for rewards."""
    rollouts = trajectories("QED")
    reward = {"reward": Docking.__qualname__, "reward_identity": identity((RECEPTOR, TIMEOUT))}
    request = replace(rollouts.request, num_trajectories=NUM_DOCKED, **reward)
    writer = Writer(store(RECEPTOR), request)
    for chunk in tqdm(writer.missing(), desc="docking", unit="chunk"):
        rewards = torch.tensor(docked(chunk, rollouts)["rewards"])
        writer.write(chunk, rollouts[request.rows(chunk)].clone().set("rewards", rewards))
    return Rollouts.open(store(RECEPTOR))


def learned(reference: sv.Reference, family: str = FAMILY) -> sv.values.Learned:
    """A value of the docking score: the one trained here, else the shipped one."""
    file = RUNS / RECEPTOR / family / "value.safetensors"
    if not file.exists() or untrained(file, RECEPTOR, family, *OPTIONS[family]):
        return pretrained.value(reference, RECEPTOR, family)
    return sv.values.Learned(load_value(new_network(reference), file, reference).eval())


def fit(family: str) -> None:
    """Train a value where there is none yet, and note what that took."""
    folder = RUNS / RECEPTOR / family
    if untrained(folder / "value.safetensors", RECEPTOR, family, *OPTIONS[family]):
        scored()
        write(folder / "training.json", json.dumps(train(RECEPTOR, family, *OPTIONS[family])))


def training_record() -> dict:
    """What was docked to learn from, and how well the value foresees the reward.

    dockings: of distinct molecules, failures among them. pearson: with the reward, at four times, of the trajectories
    that validate.
    """
    reference = sv.load("gdss-zinc250k")
    value, rollouts = learned(reference), trajectories("QED")
    notes = [docked(chunk, rollouts) for chunk in range(scored().request.num_chunks)]
    dockings = sum(note["report"]["docked"] + note["report"]["cached"] for note in notes)
    data = RolloutData(store(RECEPTOR))
    data.setup()
    judged = calibrate(value, reference, data.rollouts[data.validation_rows]).set_index("t")
    return {
        "molecules": NUM_DOCKED,
        "dockings": dockings,
        "failed": sum(note["report"]["failed"] for note in notes),
        "docking_cpu_seconds": dockings * seconds_a_docking(notes)["cpu_seconds"],
        "validating": len(data.validation_rows),
        "pearson": {str(t): float(judged.loc[t, "pearson"]) for t in QUARTERS},
    }


def judged() -> dict[str, float]:
    """What fitting the surrogate takes, and its correlation with the scores of molecules that it did not learn from."""
    table, start = json.loads(shipped(f"gdss_{RECEPTOR}_docked.json").read_text()), clock()
    pretrained.surrogate(RECEPTOR)
    spent, predictions = since(start), foreseen(table["smiles"], table["rewards"], folds=FOLDS)
    return {"pearson": float(np.corrcoef(predictions, table["rewards"])[0, 1]), "folds": FOLDS, **spent}


def trained() -> dict[str, float]:
    """Seconds of the processor that the training of each family took, of those that were trained."""
    notes = {family: RUNS / RECEPTOR / family / "training.json" for family in OPTIONS}
    return {family: json.loads(note.read_text())["cpu_seconds"] for family, note in notes.items() if note.exists()}


def ship() -> None:
    """Write what was docked to checkpoints/: SMILES and scores, in the order of the trajectories."""
    rollouts = trajectories("QED")
    notes = [docked(chunk, rollouts) for chunk in range(scored().request.num_chunks)]
    table = {name: [each for note in notes for each in note[name]] for name in ("smiles", "rewards")}
    write(ROOT / f"checkpoints/gdss_{RECEPTOR}_docked.json", json.dumps(table, indent=0) + "\n")
