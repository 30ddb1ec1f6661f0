"""The commands and the scripts that are doors to them do their job from end to end on the shipped reference."""

import json
import os
from pathlib import Path

import forking
import pytest
import yaml

from svlearn.checkpoints import read_record
from svlearn.fingerprint import fingerprint
from svlearn.loading import load
from svlearn.rollouts import Rollouts
from svlearn.values import Learned, load_value

ROOT = Path(__file__).parents[1]
CONFIGS = "configs/molecules/qm9"
VALUES, POLICIES = (
    sorted(path.stem for path in (ROOT / CONFIGS / kind).glob("*.yaml")) for kind in ("values", "policies")
)


def run(*arguments):
    done = forking.run(*arguments, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


DOORS = {
    "pretrain": "pretrain",
    "train_value": "train-value",
    "evaluate": "evaluate",
    "export_reference": "export qm9",
    "finetune_policy": "finetune",
}


@pytest.mark.parametrize("script", DOORS)
def test_a_script_is_the_door_to_its_command(script):
    assert f"    svlearn {DOORS[script]} --" in run(f"scripts/{script}.py", "--help")


def configs(family):
    kind = "value" if family in VALUES else "policy"
    folder = "values" if family in VALUES else "policies"
    return ("--config", f"{CONFIGS}/{kind}.yaml", "--config", f"{CONFIGS}/{folder}/{family}.yaml")


def named(family):
    return ("--config", "qm9", "--config", f"qm9/{'values' if family in VALUES else 'policies'}/{family}")


def test_every_family_has_a_file():
    assert {"monte_carlo", "soft_q", "contrastive_twist", "contrastive_energy", "path_consistency"} <= {*VALUES}
    assert {"policy_gradient", "proximal_policy_gradient", "distributional_policy_gradient"} <= {*POLICIES}
    assert {"path_consistency_policy", "distillation"} <= {*POLICIES}
    assert not {*VALUES} & {*POLICIES}


@pytest.mark.parametrize("family", [*VALUES, *POLICIES])
def test_a_family_keeps_its_runs_where_the_demo_looks(family):
    written = yaml.safe_load((ROOT / configs(family)[-1]).read_text())
    home = f"runs/qm9_{'value' if family in VALUES else 'policy'}/{family}"
    assert written["trainer"]["default_root_dir"] == home
    assert written["trainer"]["logger"]["init_args"]["save_dir"] == home


@pytest.mark.slow
@pytest.mark.parametrize("family", VALUES)
def test_a_value_of_every_family_is_trained_and_saved(tmp_path, family):
    few = ("--num_trajectories", 40, "--data.init_args.path", tmp_path / "rollouts", "--trainer.max_steps", 2)
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("scripts/train_value.py", "fit", *configs(family), *few, *quiet)
    value = load_value(tmp_path / "value.safetensors", load("qm9"))
    assert isinstance(value, Learned) and type(value.network).__name__ == "GraphIsomorphismNetwork"


@pytest.mark.slow
@pytest.mark.parametrize("family", POLICIES)
def test_a_policy_of_every_family_is_trained_and_saved(tmp_path, family):
    few = ("--trainer.max_steps", 1, "--model.init_args.batch_size", 40, "--model.init_args.num_validation", 10)
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    run("scripts/finetune_policy.py", "fit", *configs(family), *few, *quiet)
    record = read_record(tmp_path / "policy.safetensors")
    assert record["reference"] == fingerprint(load("qm9"))


@pytest.mark.slow
def test_a_value_is_trained_and_compared(tmp_path):
    short = ("--num_trajectories", 60, "--trainer.max_steps", 4, "--data.init_args.path", tmp_path / "rollouts")
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("-m", "svlearn", "train-value", *named("monte_carlo"), *short, *quiet)
    table = run(
        *("-m", "svlearn", "evaluate", "--config", "qm9", "--config", "qm9/demo", "--num_samples", 6),
        *("--values.learned.init_args.name_or_path", tmp_path / "value.safetensors"),
        *("--values.switch.init_args.num_samples", 2, "--values.switch.init_args.starts", "[40, 42]"),
        *("--samplers.best-of-10.init_args.n", 2, "--samplers.SVDD-PM.init_args.num_candidates=2"),
        *("--rollouts", tmp_path / "rollouts", "--output", tmp_path / "report"),
    )
    assert "SVDD-learned then PM reaches" in table
    written = json.loads((tmp_path / "report/comparison.json").read_text())
    figures = written["figures"]
    assert list(figures)[:4] == ["pretrained", "best-of-10", "SVDD-PM", "SMC-PM (alpha 0.01)"]
    assert list(figures)[4:] == ["SVDD-learned", "SVDD-learned then PM"]
    assert figures["SVDD-learned"]["reference_calls_per_sample"] == 45
    assert figures["best-of-10"]["reference_calls_per_sample"] == 2 * 45
    assert figures["SVDD-PM"]["reference_calls_per_sample"] == 2 * 45
    assert figures["SVDD-learned then PM"]["reference_calls_per_sample"] in range(45, 451)
    assert set(written["calibrations"]) == {"SVDD-learned", "SVDD-learned then PM", "SVDD-PM"}
    for file in ("report.html", "comparison.csv", "samples.svg"):
        assert (tmp_path / "report" / file).stat().st_size > 500


@pytest.mark.slow
def test_a_policy_is_fine_tuned_and_compared(tmp_path):
    small = ("--trainer.max_steps", 2, "--model.init_args.batch_size", 4, "--model.init_args.num_validation", 4)
    quiet = ("--trainer.logger", "false", "--trainer.default_root_dir", tmp_path)
    run("-m", "svlearn", "finetune", *named("policy_gradient"), *small, *quiet)
    table = run(
        *("-m", "svlearn", "evaluate", "--config", "qm9", "--config", "qm9/evaluate_policy", "--num_samples", 4),
        *("--policies.policy.init_args.path", tmp_path / "policy.safetensors", "--output", tmp_path / "report"),
        *("--samplers.SVDD-PM by the policy.init_args.num_candidates", 2),
    )
    assert "policy reaches" in table
    figures = json.loads((tmp_path / "report/comparison.json").read_text())["figures"]
    assert figures["policy"]["reference_calls_per_sample"] == 45
    proposed = figures["SVDD-PM by the policy"]
    assert proposed["reference_calls_per_sample"] == 2 * 45
    assert proposed["policy_calls_per_sample"] == 45


OWN = """
import torch
from torch import nn
import svlearn as sv


class Walk(sv.Reference):
    num_steps = 4

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 1.0), clean=x)


class Network(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, x, t):
        return self.layers(x).squeeze(1)


class Reward:
    name = "x"

    def __call__(self, x):
        return x.squeeze(1)
"""
CONFIG = """
model:
  class_path: svlearn.objectives.MonteCarloRegression
  init_args:
    reference: &walk {class_path: my_walk.Walk}
    target: &target {reward: {class_path: my_walk.Reward}, alpha: 0.5}
    value:
      class_path: svlearn.values.Switch
      init_args:
        early:
          class_path: svlearn.values.Learned
          init_args: {network: {class_path: my_walk.Network, init_args: {width: 5}}}
        late: {class_path: svlearn.values.MonteCarlo, init_args: {reference: *walk, target: *target, num_rollouts: 2}}
        start: 3
    batch_size: 8
trainer: {max_steps: 2, logger: false, enable_checkpointing: false, limit_val_batches: 0, default_root_dir: here}
"""
COMPARED = """
reference: my_walk.Walk
reward: {class_path: my_walk.Reward}
targets: {soft: {alpha: 0.5}}
values: {mine: {class_path: svlearn.load_value, init_args: {name_or_path: here/value.safetensors, modules: [my_walk]}}}
samplers:
  plain: {class_path: svlearn.ancestral}
  guided: {class_path: svlearn.svdd, init_args: {value: mine, num_candidates: 3}}
num_samples: 5
output: report
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_walk.py").write_text(OWN)
    (tmp_path / "value.yaml").write_text(CONFIG)
    (tmp_path / "compared.yaml").write_text(COMPARED)

    def command(*arguments, fails=False):
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = forking.run("-m", "svlearn", *arguments, cwd=tmp_path, PYTHONPATH=paths)
        assert (done.returncode != 0) is fails, done.stderr[-3000:]
        return done.stderr if fails else done.stdout

    return command


def test_a_composite_value_of_ones_own_is_trained_saved_and_compared(own, tmp_path):
    own("train-value", "--config", "value.yaml")
    record = read_record(tmp_path / "here/value.safetensors")
    late = record["value"]["init_args"]["late"]["init_args"]
    assert "reference" not in late and late["num_rollouts"] == 2 and record["objective"] == "MonteCarloRegression"
    assert "guided" in own("evaluate", "--config", "compared.yaml")
    figures = json.loads((tmp_path / "report/comparison.json").read_text())["figures"]
    assert figures["plain"]["reference_calls_per_sample"] == 4
    assert (
        figures["guided"]["reference_calls_per_sample"] == 4 + 3 * 2 * 1
    )  # M candidates at t = 3, two rollouts of one step


def test_a_value_that_cannot_be_saved_says_so_before_training(own, tmp_path):
    text = CONFIG.replace("class_path: my_walk.Network", "class_path: my_walk.shrinking")
    (tmp_path / "value.yaml").write_text(text)
    (tmp_path / "my_walk.py").write_text(
        f"{OWN}\nMADE = []\n\ndef shrinking(width: int = 5) -> Network:\n"
        "    MADE.append(0)\n    return Network(width + len(MADE))\n"
    )
    error = own("train-value", "--config", "value.yaml", fails=True)
    assert "value: expected a recipe that builds this Switch, got one that builds a Switch with other tensors" in error
    assert not (tmp_path / "here").exists() or not list((tmp_path / "here").glob("*.safetensors"))


def test_trajectories_are_collected(own, tmp_path):
    arguments = ("collect", "--reference", "my_walk.Walk", "--reward", "my_walk.Reward", "--num_trajectories", 7)
    assert own(*arguments, "--path", "kept") == "written:\n  kept  7 trajectories\n"
    rollouts = Rollouts.open(tmp_path / "kept")
    assert rollouts[:]["states"].shape == (7, 5, 1)
    assert (rollouts[:]["rewards"] == rollouts[:]["states"][:, -1, 0]).all()


def test_pretraining_runs_and_goes_on(tmp_path, assets):
    common = ("fit", "--config", f"{CONFIGS}/pretrain.yaml", "--data.path", write_few(assets, tmp_path))
    folders = ("--data.cache_dir", tmp_path / "cache", "--data.num_validation", 20, "--data.batch_size", 32)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("scripts/pretrain.py", *common, *folders, *where, "--trainer.max_steps", 3)
    (kept,) = (tmp_path / "checkpoints").glob("*.ckpt")
    run("scripts/pretrain.py", *common, *folders, *where, "--trainer.max_steps", 5, "--ckpt_path", kept)
    assert any("step=5" in str(path) for path in tmp_path.rglob("*.ckpt"))


def write_few(assets, tmp_path):
    lines = assets("molecules/qm9_smiles.csv").read_text().splitlines()
    path = tmp_path / "few.csv"
    path.write_text("\n".join([lines[0], *lines[1000:1200]]) + "\n")
    return path
