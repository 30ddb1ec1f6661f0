"""Values of GDSS, trained on its trajectories or shipped."""

import itertools
import json
from pathlib import Path

import svlearn as sv
from benchmarks.common.artifacts import configs, missing
from benchmarks.common.artifacts import train as run_script
from benchmarks.common.paths import ROOT
from benchmarks.gdss.trajectories import COLLECT_BATCH, NUM_TRAJECTORIES, RUNS, SEED, home, store, trajectories
from svlearn.checkpoints import load_value, read_record
from svlearn.domains.molecules.gdss import pretrained
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, save_network
from svlearn.files import write
from svlearn.fingerprint import fingerprint

CONFIGS = ROOT / "configs/molecules/gdss"
WIDTH, DEPTH = 48, 3  # as in value.yaml


def new_network(reference: sv.Reference) -> GraphValueNetwork:
    """The network of the values, untrained."""
    return GraphValueNetwork(reference.num_steps, reference.num_features, WIDTH, DEPTH)


def train(name: str, family: str, *options: str, training: int = SEED) -> dict:
    """Run the script of the values on the trajectories, with more options; its wall and processor seconds."""
    data = ["--seed_everything", str(training), "--data.init_args.path", str(store(name, training))]
    return run_script("train_value", settings(name, family), home(training) / name / family, *data, *options)


def settings(name: str, family: str) -> list[Path]:
    """The YAML files of a reward and a family."""
    of_reward = [] if name == "QED" else [CONFIGS / f"rewards/{name.lower()}.yaml"]
    return [CONFIGS / "value.yaml", *of_reward, CONFIGS / f"values/{family}.yaml"]


def untrained(file: Path, name: str, family: str, *options: str, training: int = SEED) -> bool:
    """Whether a value has yet to be trained, as `artifacts.missing` tells it."""
    collected = {"number": NUM_TRAJECTORIES, "batch": COLLECT_BATCH, "seed": training}
    made_of = {"configs": configs(*settings(name, family)), "options": options, "trajectories": collected}
    return missing(file, reference=fingerprint(sv.load("gdss-zinc250k")), **made_of)


def learned(name: str, family: str, reference: sv.Reference, training: int = SEED) -> sv.values.Learned:
    """The value of a family: the one trained here, else the shipped one, and else one that is trained now."""
    file = home(training) / name / family / "value.safetensors"
    if not file.exists() and family in pretrained.FAMILIES and training == SEED:
        return pretrained.value(reference, name, family)
    fit(name, family, training)
    return sv.values.Learned(load_value(new_network(reference), file, reference).eval())


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
            network = load_value(new_network(reference), file, reference)
            metadata = read_record(file) | {"reward": name, "family": family}
            print(save_network(network, ROOT / f"checkpoints/gdss_{name}_{family}.safetensors", **metadata))
