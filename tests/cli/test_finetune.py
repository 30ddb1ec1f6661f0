"""`svlearn finetune` with a judge: the stop, the weights that are kept, and the figure of the validations."""

import sys

import pandas as pd
import pytest
import torch
import yaml

from svlearn.checkpoints import read_tensors
from svlearn.cli import main

OWN = """
import torch
import svlearn as sv


class Walk(sv.Reference):
    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 1.0))


class Push(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.push = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t):
        return self.push.expand_as(x)


class Near:
    def __init__(self, place: float = 0.0):
        self.place = place

    def __call__(self, x):
        return -(x[:, 0] - self.place).square() / 10
"""
CONFIG = """
model:
  class_path: svlearn.objectives.GroupRelativePolicyGradient
  init_args:
    reference: &walk {class_path: walk_with_judge.Walk}
    target: {reward: {class_path: walk_with_judge.Near, init_args: {place: 9.0}}, alpha: 0.1}
    policy:
      class_path: svlearn.policies.Controlled
      init_args: {reference: *walk, network: {class_path: walk_with_judge.Push}}
    judge: {class_path: walk_with_judge.Near, init_args: {place: 2.0}}
    group_size: 4
    batch_size: 64
    learning_rate: 0.2
trainer:
  max_steps: 60
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  val_check_interval: 2
  accelerator: cpu
  callbacks:
    - class_path: svlearn.objectives.StopOnJudge
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "walk_with_judge.py").write_text(OWN)
    (tmp_path / "policy.yaml").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["svlearn"])
    return tmp_path


def test_a_training_is_stopped_by_its_judge_and_drawn(home, capsys):
    main(["finetune", "--config", "policy.yaml", "--trainer.default_root_dir", "run"])
    printed = capsys.readouterr()
    rows = pd.read_csv(home / "run/validation.csv")
    assert rows["step"].max() < 60 and {"reward", "judge", "kl", "elbo", "judge_standard_error"} <= set(rows)
    best = rows["step"][rows["judge"].idxmax()]
    assert f"the weights are those of step {int(best)}" in printed.err
    kept = {"policy.safetensors": "the policy", "validation.csv": "its validations", "validation.svg": "their curves"}
    assert printed.out.endswith("written:\n" + "".join(f"  run/{file}  {what}\n" for file, what in kept.items()))
    pushed = read_tensors(home / "run/policy.safetensors")["network.push"]
    assert 2 * pushed.item() == pytest.approx(2.0, abs=1.2)  # two steps of that, towards the judge's place
    picture = (home / "run/validation.svg").read_text()
    assert picture.startswith("<svg") and "judge" in picture and "the weights that were kept" in picture


def test_without_validations_nothing_is_drawn(home):
    config = yaml.safe_load(CONFIG)
    config["trainer"] |= {"callbacks": None, "limit_val_batches": 0, "max_steps": 1}
    (home / "policy.yaml").write_text(yaml.safe_dump(config))
    main(["finetune", "--config", "policy.yaml", "--trainer.default_root_dir", "run"])
    assert {path.name for path in (home / "run").iterdir()} == {"config.yaml", "policy.safetensors"}
    assert torch.isfinite(read_tensors(home / "run/policy.safetensors")["network.push"]).all()
