"""The scripts: they teach, and they do their job from end to end on the shipped reference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from svlearn.checkpoints import read_record
from svlearn.fingerprint import fingerprint
from svlearn.loading import load

ROOT = Path(__file__).parents[1]
CONFIGS = "configs/molecules/qm9"


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


@pytest.mark.slow
def test_a_value_is_trained_saved_and_compared(tmp_path):
    common = ("--data.path", tmp_path / "rollouts", "--trainer.default_root_dir", tmp_path)
    short = ("--num_trajectories", 60, "--trainer.max_steps", 4, "--trainer.logger", "false")
    keep = ("--trainer.callbacks", "null")
    run("scripts/train_value.py", "fit", "--config", f"{CONFIGS}/value.yaml", *common, *short, *keep)
    assert (tmp_path / "value.safetensors").is_file()
    table = run(
        "scripts/evaluate.py",
        *("--config", f"{CONFIGS}/evaluate.yaml", "--num_samples", 6, "--num_candidates", 2),
        *("--rollouts", tmp_path / "rollouts", "--value_path", tmp_path / "value.safetensors"),
        *("--output", tmp_path / "report"),
    )
    assert "SVDD-MC reaches" in table
    written = json.loads((tmp_path / "report/comparison.json").read_text())
    figures = written["figures"]
    assert list(figures) == ["pretrained", "best-of-2", "SVDD-PM", "SVDD-MC", "SMC-PM (alpha 0.01)"]
    assert figures["SVDD-MC"]["reference_calls_per_sample"] == 45
    assert figures["SVDD-PM"]["reference_calls_per_sample"] == 2 * 45
    assert set(written["calibrations"]) == {"SVDD-MC", "SVDD-PM"}
    for file in ("report.html", "comparison.csv", "samples.svg"):
        assert (tmp_path / "report" / file).stat().st_size > 500


@pytest.mark.slow
def test_a_policy_is_fine_tuned_and_saved(tmp_path):
    small = ("--trainer.max_steps", 2, "--model.init_args.batch_size", 4, "--model.init_args.num_validation", 4)
    quiet = ("--trainer.logger", "false", "--trainer.default_root_dir", tmp_path)
    run("scripts/finetune_policy.py", "fit", "--config", f"{CONFIGS}/policy_gradient.yaml", *small, *quiet)
    record = read_record(tmp_path / "policy.safetensors")
    assert record["objective"] == "PolicyGradient"
    assert record["reference"] == fingerprint(load("qm9"))


def test_pretraining_runs_and_goes_on(tmp_path, assets):
    common = ("fit", "--config", f"{CONFIGS}/pretrain.yaml", "--data.path", write_few(assets, tmp_path))
    folders = ("--data.cache_dir", tmp_path / "cache", "--data.num_validation", 20, "--data.batch_size", 32)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false", "--trainer.callbacks", "null")
    run("scripts/pretrain.py", *common, *folders, *where, "--trainer.max_steps", 3)
    (kept,) = tmp_path.rglob("*.ckpt")
    run("scripts/pretrain.py", *common, *folders, *where, "--trainer.max_steps", 5, "--ckpt_path", kept)
    assert any("step=5" in str(path) for path in tmp_path.rglob("*.ckpt"))


def write_few(assets, tmp_path):
    lines = assets("molecules/qm9_smiles.csv").read_text().splitlines()
    path = tmp_path / "few.csv"
    path.write_text("\n".join([lines[0], *lines[1000:1200]]) + "\n")
    return path
