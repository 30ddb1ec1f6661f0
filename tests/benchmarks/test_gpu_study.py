"""The study of half precision and compilation: it runs where there is no GPU, and sees a law that is off."""

import argparse
from contextlib import nullcontext

import pytest
import torch

from benchmarks.common.results import Results
from benchmarks.gpu import run
from benchmarks.gpu.law import log_prob_errors, ratio_of_normalizers
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain

CPU = torch.device("cpu")


def test_a_reference_is_not_off_from_itself_and_another_is():
    chain = FiniteMarkovChain.random(3, 4, seed=0)
    same = log_prob_errors(chain, chain, nullcontext, 50)
    assert set(same.values()) == {0.0}
    other = log_prob_errors(chain, FiniteMarkovChain.random(3, 4, seed=1), nullcontext, 50)
    assert 0.1 < other["mean_of_a_step_nats"] <= other["largest_of_a_step_nats"]
    short = LinearGaussianChain.random(2, 3, seed=0)
    assert log_prob_errors(short, short, nullcontext, 5)["of_a_trajectory_nats"] == 0


@pytest.mark.parametrize("way", ["float32", "bfloat16 autocast"])
def test_the_weights_of_a_network_in_half_precision_still_estimate_z(way):
    found = ratio_of_normalizers(CPU, run.way_of(way, CPU), None, 2000)
    assert 0 < found["standard_error"] < 0.1
    assert abs(found["ratio"] - 1) < 4 * found["standard_error"]


def test_it_runs_small_on_the_cpu(tmp_path, monkeypatch):
    results = Results("gpu", {"devices": {}})
    results.path = tmp_path / "gpu.json"
    monkeypatch.setattr(run, "RESULTS", results)
    monkeypatch.setattr(run, "TURNS", 1)
    parser = argparse.ArgumentParser()
    run.arguments(parser)
    words = ["--device", "cpu", "--batch", "2", "--references", "utr5", "--ways", "float32", "bfloat16 autocast"]
    run.measure(parser.parse_args([*words]))
    (rows,) = results.read()["devices"].values()
    assert set(rows) == {"utr5/float32", "utr5/bfloat16 autocast"}
    assert rows["utr5/float32"]["log_prob"]["of_a_trajectory_nats"] == 0
    assert 0 < rows["utr5/bfloat16 autocast"]["log_prob"]["of_a_trajectory_nats"] < 10
    assert "times as fast" in run.page(results.read())
