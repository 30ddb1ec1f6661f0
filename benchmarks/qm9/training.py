"""What the studies of QM9 train: a family's value or policy by its script, from trajectories kept on disk."""

import json
import shutil
from pathlib import Path

import svlearn as sv
from benchmarks.common.artifacts import configs, missing
from benchmarks.common.artifacts import train as run_script
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import ROOT
from benchmarks.common.paths import RUNS as ALL_RUNS
from svlearn.checkpoints import load_value
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.rewards import QED
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.rollouts import collect

CONFIGS = ROOT / "configs/molecules/qm9"
RUNS = ALL_RUNS / "qm9_families"
VALUES, POLICIES = (sorted(path.stem for path in (CONFIGS / kind).glob("*.yaml")) for kind in ("values", "policies"))
NUM_TRAJECTORIES, COLLECT_BATCH = 4000, 500  # as in value.yaml


def store(seed: int) -> Path:
    return RUNS / f"rollouts_{seed}"


def rollouts(seed: int) -> dict:
    """The trajectories of the reference that the values of a seed learn from, and what it took to collect them."""
    note, start = store(seed).with_suffix(".json"), clock()
    target = sv.Target(QED(), 0.0)
    collect(sv.load("qm9").eval(), NUM_TRAJECTORIES, store(seed), target=target, batch_size=COLLECT_BATCH, seed=seed)
    if not note.exists():
        write(note, json.dumps(since(start)))
    return json.loads(note.read_text())


def train(family: str, seed: int, folder: Path, options: list[str]) -> dict:
    """Run the script of the family's kind; its wall seconds and its processors' seconds.

    A value learns from the trajectories of `rollouts`, which must be there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    untrained(family, seed, folder, options)
    value = family in VALUES
    data = ["--data.init_args.path", str(store(seed))] if value else []
    script = "train_value" if value else "finetune_policy"
    return run_script(script, settings(family), folder, "--seed_everything", str(seed), *data, *options)


def settings(family: str) -> list[Path]:
    """The YAML files of a family."""
    base, kind = ("value", "values") if family in VALUES else ("policy", "policies")
    return [CONFIGS / f"{base}.yaml", CONFIGS / kind / f"{family}.yaml"]


def untrained(family: str, seed: int, folder: Path, options: list[str]) -> bool:
    """Whether a folder has yet to get what `train` leaves there, as `artifacts.missing` tells it."""
    file = folder / ("value.safetensors" if family in VALUES else "policy.safetensors")
    made_of = {"configs": configs(*settings(family)), "seed": seed, "options": options}
    return missing(file, reference=fingerprint(sv.load("qm9").eval()), **made_of)


def learned_value(folder: Path, reference: sv.Reference) -> sv.values.Learned:
    """The value that `train` left in a folder."""
    network = GraphIsomorphismNetwork(num_steps=reference.num_steps, depth=3)
    return sv.values.Learned(load_value(network, folder / "value.safetensors", reference).eval())
