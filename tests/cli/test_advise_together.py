"""`torchrun … -m svlearn advise`: of a budget in calls two processes give the advice of one; one in seconds is spent by
the first alone."""

import json

import pytest
from forking import run_ranks

import svlearn as sv
from svlearn.cli import advise as command

MODULE = """
import torch
import svlearn as sv
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

LINEAR = QuadraticReward(torch.zeros(1, 1), torch.ones(1))

class Chain(LinearGaussianChain):
    def __init__(self, std: float = 0.5):
        matrices, stds = torch.full((3, 1, 1), 0.9), torch.full((3,), std)
        super().__init__(torch.zeros(1), 1.0, matrices, torch.zeros(3, 1), stds, LINEAR)

def reward(x: torch.Tensor) -> torch.Tensor:
    return LINEAR(x)

class Broken(sv.Value):
    needs_prediction = True
    calls = 0
    def forward(self, x, t, prediction=None, *, generator=None):
        raise ZeroDivisionError("no such value")

def broken(reference, target):
    return sv.svdd(reference, target, Broken(), 2)
"""
CONFIGURATION = """
reference: {class_path: chain_together.Chain}
reward: chain_together.reward
samplers: {broken: {class_path: chain_together.broken}}
"""
WORDS = ["--config", "chain.yaml", "--for_samples", "200", "--budget"]
PYTHON = """
import json
from pathlib import Path
from chain_together import Chain, reward
import svlearn as sv
from svlearn.process_group import joined, number

def raised(call):
    try:
        call()
    except ValueError as error:
        return str(error)

with joined() as together:
    chain, rank = Chain(), number()
    ask = lambda **given: raised(lambda: sv.advise(chain, sv.Target(reward, 1.0), together=True, **given))
    said = [ask(budget=60.0, for_samples=9), ask(budget="4000 calls", for_samples=9 + rank)]
    Path(f"rank{rank}.json").write_text(json.dumps(said))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "chain_together.py").write_text(MODULE)
    (tmp_path / "chain.yaml").write_text(CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def untimed(path):
    content = json.loads(path.read_text())
    for row in [*content["front"], content["spent"]]:
        for name in ("seconds_per_sample", "seconds", "peak_memory_bytes"):
            row.pop(name, None)
    return content


@pytest.mark.slow
def test_two_processes_give_the_advice_of_one(folder, monkeypatch):
    done = run_ranks("-m", "svlearn", "advise", *WORDS, "6000 calls", "--output", "two")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("written:") == 1
    monkeypatch.setattr("sys.argv", ["svlearn advise", *WORDS, "6000 calls", "--output", "one"])
    command.run()
    two, one = untimed(folder / "two" / "advice.json"), untimed(folder / "one" / "advice.json")
    assert str(one).replace("one/", "two/") == str(two)
    assert one["skipped"]["broken"] == "ZeroDivisionError: no such value" and len(one["front"]) > 5
    parts = [json.loads((folder / name / "parts.json").read_text())["parts"] for name in ("one", "two")]
    assert list(parts[0]) == list(parts[1])


@pytest.mark.slow
def test_a_budget_in_seconds_and_arguments_that_differ_are_refused(folder):
    (folder / "ask.py").write_text(PYTHON)
    done = run_ranks("ask.py")
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in range(2):
        seconds, differ = json.loads((folder / f"rank{rank}.json").read_text())
        assert seconds == "budget: expected one in calls, which processes that advise together count alike, got 60 s"
        assert differ == "expected the same arguments on every rank, got for_samples: 9 on rank 0, 10 on rank 1"
    alone = run_ranks("-m", "svlearn", "advise", *WORDS, "1e-6s", "--output", "alone")
    assert "rank 1 ends: a budget in seconds is spent by the first process alone" in alone.stdout
    assert "budget: expected at least" in alone.stderr


def test_alone_it_is_said_how_to_open_a_group(folder):
    from chain_together import Chain, reward

    with pytest.raises(ValueError, match=r"together: expected a process group of torch.distributed, got none; start"):
        sv.advise(Chain(), sv.Target(reward, 1.0), budget="4000 calls", for_samples=9, together=True)
