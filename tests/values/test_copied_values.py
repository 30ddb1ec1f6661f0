"""Copies of values: parameters of their own, and the targets of the others."""

import threading

import torch
from torch import nn

import svlearn as sv
from svlearn.advising.candidates import rewards_of
from svlearn.domains.analytic import LinearGaussianChain
from svlearn.objectives import SoftQIteration, TemporalDifference
from svlearn.values import Learned, PosteriorMean, Residual
from svlearn.values.value import copy_of


class Held(nn.Module):
    """A reward that is a module and holds what cannot be copied."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x):
        return x[:, 0]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, t):
        return self.slope * x[:, 0]


def test_a_copy_asks_the_same_target_and_has_parameters_of_its_own():
    target = sv.Target(Held(), 0.5)
    value = Residual(PosteriorMean(target), Learned(Network()))
    copied = copy_of(value)
    assert copied.base.target is target and rewards_of(copied, target) == rewards_of(value, target) == 1
    copied.correction.network.slope.data.fill_(3.0)
    assert value.correction.network.slope.item() == 0.0


def test_the_slow_copy_of_an_objective_asks_the_same_target():
    chain = LinearGaussianChain.random(dim=2, num_steps=3, seed=0)
    target = sv.Target(Held(), 0.5)
    for family in (SoftQIteration, TemporalDifference):
        objective = family(chain, target, Residual(PosteriorMean(target), Learned(Network())))
        assert objective.slow.base.target is target
