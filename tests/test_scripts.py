"""The scripts: they teach, and they do their job from end to end on the shipped reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from svlearn.checkpoints import read_record
from svlearn.fingerprint import fingerprint
from svlearn.loading import load

ROOT = Path(__file__).parents[1]
CONFIGS = "configs/molecules/qm9"
VALUES, POLICIES = (
    sorted(path.stem for path in (ROOT / CONFIGS / kind).glob("*.yaml")) for kind in ("values", "policies")
)


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("script", ["pretrain", "train_value", "evaluate", "export_reference", "finetune_policy"])
def test_help_shows_a_command_to_start_with(script):
    assert f"python scripts/{script}.py" in run(f"scripts/{script}.py", "--help")


def configs(family):
    kind = "value" if family in VALUES else "policy"
    folder = "values" if family in VALUES else "policies"
    return ("--config", f"{CONFIGS}/{kind}.yaml", "--config", f"{CONFIGS}/{folder}/{family}.yaml")


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


@pytest.mark.parametrize("family", ["soft_q", "policy_gradient"])
def test_the_demo_takes_any_family(family):
    told = subprocess.run(["make", "-n", "demo", f"FAMILY={family}"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    said = told.stdout.replace("\\\n", " ")
    assert " ".join(configs(family)) in " ".join(said.split())
    assert f"/{family}/{'value' if family in VALUES else 'policy'}.safetensors" in said


def test_the_demo_names_the_families_that_it_knows():
    told = subprocess.run(["make", "-n", "demo", "FAMILY=nope"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode != 0
    (line,) = [line for line in told.stderr.splitlines() if "nope" in line]
    assert all(family in line for family in (*VALUES, *POLICIES))


@pytest.mark.slow
@pytest.mark.parametrize("family", VALUES)
def test_a_value_of_every_family_is_trained_and_saved(tmp_path, family):
    few = ("--num_trajectories", 40, "--data.init_args.path", tmp_path / "rollouts", "--trainer.max_steps", 2)
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("scripts/train_value.py", "fit", *configs(family), *few, *quiet)
    record = read_record(tmp_path / "value.safetensors")
    assert record["reference"] == fingerprint(load("qm9"))


@pytest.mark.slow
@pytest.mark.parametrize("family", POLICIES)
def test_a_policy_of_every_family_is_trained_and_saved(tmp_path, family):
    few = ("--trainer.max_steps", 1, "--model.init_args.batch_size", 10, "--model.init_args.num_validation", 10)
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    run("scripts/finetune_policy.py", "fit", *configs(family), *few, *quiet)
    record = read_record(tmp_path / "policy.safetensors")
    assert record["reference"] == fingerprint(load("qm9"))


@pytest.mark.slow
def test_a_value_is_trained_and_compared(tmp_path):
    short = ("--num_trajectories", 60, "--trainer.max_steps", 4, "--data.init_args.path", tmp_path / "rollouts")
    quiet = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("scripts/train_value.py", "fit", *configs("monte_carlo"), *short, *quiet)
    table = run(
        "scripts/evaluate.py",
        *("--config", f"{CONFIGS}/evaluate.yaml", "--num_samples", 6, "--num_candidates", 2),
        *("--rollouts", tmp_path / "rollouts", "--value_path", tmp_path / "value.safetensors"),
        *("--output", tmp_path / "report"),
    )
    assert "SVDD-MC reaches" in table
    written = json.loads((tmp_path / "report/comparison.json").read_text())
    figures = written["figures"]
    assert list(figures) == ["pretrained", "best-of-2", "SVDD-PM", "SMC-PM (alpha 0.01)", "SVDD-MC"]
    assert figures["SVDD-MC"]["reference_calls_per_sample"] == 45
    assert figures["SVDD-PM"]["reference_calls_per_sample"] == 2 * 45
    assert set(written["calibrations"]) == {"SVDD-MC", "SVDD-PM"}
    for file in ("report.html", "comparison.csv", "samples.svg"):
        assert (tmp_path / "report" / file).stat().st_size > 500


@pytest.mark.slow
def test_a_policy_is_fine_tuned_and_compared(tmp_path):
    small = ("--trainer.max_steps", 2, "--model.init_args.batch_size", 4, "--model.init_args.num_validation", 4)
    quiet = ("--trainer.logger", "false", "--trainer.default_root_dir", tmp_path)
    run("scripts/finetune_policy.py", "fit", *configs("policy_gradient"), *small, *quiet)
    table = run(
        "scripts/evaluate.py",
        *("--config", f"{CONFIGS}/evaluate.yaml", "--num_samples", 6, "--num_candidates", 2),
        *("--rollouts", "null", "--value_path", "null", "--policy_path", tmp_path / "policy.safetensors"),
        *("--output", tmp_path / "report"),
    )
    assert "policy, PolicyGradient reaches" in table
    figures = json.loads((tmp_path / "report/comparison.json").read_text())["figures"]
    assert "SVDD-MC" not in figures
    assert figures["policy, PolicyGradient"]["reference_calls_per_sample"] == 45
    proposed = figures["SVDD-PM by the policy"]
    assert proposed["reference_calls_per_sample"] == 2 * 45
    assert proposed["policy_calls_per_sample"] == 45


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
