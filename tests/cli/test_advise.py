"""`svlearn advise`: its files, going on from a stop, and a configuration that `svlearn evaluate` runs."""

import json
import sys

import pytest
import yaml

import svlearn as sv
from svlearn.advising import race, trained_values
from svlearn.cli import main

MODULE = """
import torch
from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

LINEAR = QuadraticReward(torch.zeros(1, 1), torch.ones(1))


class Chain(LinearGaussianChain):
    def __init__(self, std: float = 0.5):
        matrices, stds = torch.full((3, 1, 1), 0.9), torch.full((3,), std)
        super().__init__(torch.zeros(1), 1.0, matrices, torch.zeros(3, 1), stds, LINEAR)


def reward(x: torch.Tensor) -> torch.Tensor:
    return LINEAR(x)
"""
CONFIGURATION = """
reference: {class_path: advised_chain.Chain}
reward: advised_chain.reward
trainable:
  learned:
    class_path: svlearn.values.Learned
    init_args:
      network: {class_path: svlearn.advising.network.Perceptron, init_args: {num_inputs: 1, num_steps: 3}}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    (tmp_path / "chain.yaml").write_text(CONFIGURATION)
    (tmp_path / "advised_chain.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setitem(trained_values.STEPS, "calls", 60)
        monkeypatch.setattr(sys, "argv", ["svlearn"])
        main([str(word) for word in words])
        return capsys.readouterr()

    return run


WORDS = ("advise", "--config", "chain.yaml", "--budget", "4000 calls", "--for_samples", 200, "--output", "out")


def test_the_answer_its_files_and_the_configuration_that_evaluate_runs(run, tmp_path):
    printed = run(*WORDS, "--prices", "{value_calls: 0.1}").out
    content = json.loads((tmp_path / "out/advice.json").read_text())
    assert content["text"] in printed and content["text"] in (tmp_path / "out/advice.html").read_text()
    assert content["unit"] == "calls" and content["price"] <= 1.1 * 4000
    written = [line.split("  ")[1] for line in printed.partition("\nwritten:\n")[2].splitlines()]
    files = ("advice.html", "advice.json", "advised.yaml", "values/learned.safetensors")
    assert written == [f"out/{file}" for file in files] and all((tmp_path / file).is_file() for file in written)
    advised = yaml.safe_load((tmp_path / "out/advised.yaml").read_text())
    assert content["recommended"] in advised["samplers"]
    run("evaluate", "--config", "out/advised.yaml", "--num_samples", 300, "--output", "report")
    figures = json.loads((tmp_path / "report/comparison.json").read_text())["figures"]
    (row,) = (each for each in content["front"] if each["sampler"] == content["recommended"])
    own = figures[content["recommended"]]
    error = (own["mean_reward_standard_error"] ** 2 + row["standard_error"] ** 2) ** 0.5
    assert abs(own["mean_reward"] - row["reward"]) < 4 * error
    assert own["reference_calls_per_sample"] == row["reference_calls_per_sample"]


def test_a_stopped_advice_goes_on_where_it_was(run, tmp_path, monkeypatch):
    whole = WORDS[:-1]
    run(*whole, "whole")
    final = race.final

    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("svlearn.advising.answer.final", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(*whole, "parts")
    kept = set(json.loads((tmp_path / "parts/parts.json").read_text())["parts"])
    assert any(name.startswith("race/") for name in kept) and not any(name.startswith("final/") for name in kept)
    monkeypatch.setattr("svlearn.advising.answer.final", final)
    monkeypatch.setattr("svlearn.advising.trained_values.train", stopped)  # it need not be trained again
    run(*whole, "parts")
    one, other = (json.loads((tmp_path / folder / "advice.json").read_text()) for folder in ("whole", "parts"))
    for name in ("recommended", "gain", "break_even", "gains", "skipped"):
        assert one[name] == other[name]
    with pytest.raises(SystemExit):
        run(*whole, "parts", "--seed", 1)


def test_what_is_no_budget_is_said_in_one_line(run, capsys):
    with pytest.raises(SystemExit):
        run(*("soon" if word == "4000 calls" else word for word in WORDS))
    assert "budget: expected seconds (600), a text as '600s'" in capsys.readouterr().err


def test_the_names_are_public():
    assert sv.advise is sv.advising.advise and sv.Advice is sv.advising.Advice
