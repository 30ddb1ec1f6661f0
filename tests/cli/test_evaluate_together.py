"""`torchrun … -m svlearn evaluate`: two processes write the page that one writes, and advise leaves it to the first."""

import json

import pytest
from forking import run_ranks
from launching import torchrun

from svlearn.cli import evaluate as command

MODULE = """
import torch
import svlearn as sv

class Walk(sv.Reference):
    num_steps = 3
    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1, dtype=torch.float64)
    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 1.0), clean=x)
    def decode(self, x):
        return x.squeeze(1).tolist()
    def describe(self, objects):
        return {"positive": sum(each > 0 for each in objects) / len(objects)}

class Place:
    def __call__(self, x):
        return x.squeeze(1)
"""
CONFIG = """
reference: {class_path: walking_together.Walk}
reward: {class_path: walking_together.Place}
targets: {soft: {alpha: 1.0}}
samplers:
  pretrained: {class_path: svlearn.ancestral}
  SMC: {class_path: svlearn.smc, init_args: {value: {class_path: svlearn.values.Zero}, num_particles: 4}}
num_samples: 9
block_size: 4
seed: [1, 2]
"""
TIMED = ("seconds_per_sample", "peak_memory_mib")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "walking_together.py").write_text(MODULE)
    (tmp_path / "mine.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def untimed(path):
    figures = json.loads(path.read_text())["figures"]
    return {name: {key: each for key, each in own.items() if key not in TIMED} for name, own in figures.items()}


def test_two_processes_write_one_page_of_the_figures_of_one(folder, monkeypatch, capsys):
    done = torchrun(["-m", "svlearn", "evaluate", "--config", "mine.yaml", "--output", "two"])
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("| SMC") == 1 and done.stdout.count("report.html  the page") == 1
    monkeypatch.setattr("sys.argv", ["svlearn evaluate", "--config", "mine.yaml", "--output", "one"])
    command.run()
    two, one = untimed(folder / "two" / "comparison.json"), untimed(folder / "one" / "comparison.json")
    assert two == one and one["SMC"]["num_samples"] == 18
    assert (folder / "two" / "report.html").stat().st_size > 1000
    words = ("--config", "mine.yaml", "--output", "two", "--block_size", "0")
    refused = run_ranks("-m", "svlearn", "evaluate", *words)
    assert refused.returncode == 1 and "block_size: expected None or an integer" in refused.stderr
