"""What the benchmarks on QM9 train: a family's value or policy by its script, from trajectories kept on disk."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import svlearn as sv
from benchmarks.common.artifacts import configs, missing
from svlearn.checkpoints import load_value
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.rewards import QED
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.rollouts import collect

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs/molecules/qm9"
RUNS = ROOT / "runs/qm9_families"
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
    script = "train_value" if value else "finetune_policy"
    told = [word for file in settings(family) for word in ("--config", str(file))]
    where = ["--trainer.default_root_dir", str(folder), "--trainer.logger.init_args.save_dir", str(folder)]
    data = ["--data.init_args.path", str(store(seed))] if value else []
    command = [f"scripts/{script}.py", "fit", *told, "--seed_everything", str(seed), *where, *data, *options]
    start = clock()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    return since(start)


def settings(family: str) -> list[Path]:
    """The YAML files of a family."""
    base, kind = ("value", "values") if family in VALUES else ("policy", "policies")
    return [CONFIGS / f"{base}.yaml", CONFIGS / kind / f"{family}.yaml"]


def untrained(family: str, seed: int, folder: Path, options: list[str]) -> bool:
    """Whether a folder has yet to get what `train` leaves there, as `kept.missing` tells it."""
    file = folder / ("value.safetensors" if family in VALUES else "policy.safetensors")
    made_of = {"configs": configs(*settings(family)), "seed": seed, "options": options}
    return missing(file, reference=fingerprint(sv.load("qm9").eval()), **made_of)


def learned_value(folder: Path, reference: sv.Reference) -> sv.values.Learned:
    """The value that `train` left in a folder."""
    network = GraphIsomorphismNetwork(num_steps=reference.num_steps, depth=3)
    return sv.values.Learned(load_value(network, folder / "value.safetensors", reference).eval())


def clock() -> tuple[float, float]:
    """Wall seconds, and the seconds of processors of this process and of the children that ended."""
    children = getrusage(RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def since(start: tuple[float, float]) -> dict:
    return dict(zip(("seconds", "cpu_seconds"), (now - then for now, then in zip(clock(), start))))
