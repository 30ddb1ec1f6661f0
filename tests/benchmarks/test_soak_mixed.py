"""The soak of mixed runs sees what is wrong: weights, costs, trainings and growth."""

import os
import random

import pytest
import torch

from benchmarks.soak_mixed import run
from svlearn import process


def test_random_runs_are_right():
    for seed in range(25):
        run.sampled(random.Random(seed), seed)
    run.estimated(random.Random(0), 0)
    run.trained(random.Random(0), 0)


def test_a_wrong_count_of_calls_is_seen(monkeypatch):
    whole = process.count
    monkeypatch.setattr(process, "count", lambda kind, states: whole(kind, states + 1))
    with pytest.raises(AssertionError, match="steps"):
        run.sampled(random.Random(0), 0)


def test_weights_that_are_not_normalised_are_seen(monkeypatch):
    whole = torch.Tensor.log_softmax
    monkeypatch.setattr(torch.Tensor, "log_softmax", lambda self, dim: whole(self, dim) + 0.1)
    with pytest.raises(AssertionError, match="weights that sum"):
        run.sampled(random.Random(0), 0)


def test_growth_is_seen(monkeypatch):
    kept = []
    monkeypatch.setattr(run, "WARM", 2)
    monkeypatch.setattr(run, "sampled", lambda draw, seed: kept.append(os.open("/dev/null", os.O_RDONLY)))
    monkeypatch.setattr(run, "estimated", run.sampled)
    monkeypatch.setattr(run, "trained", run.sampled)
    with pytest.raises(AssertionError, match="files, threads and children grew"):
        run.worker(0, 0.0)
    for each in kept:
        os.close(each)
