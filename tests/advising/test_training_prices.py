"""A value that asks for the reference and the reward where it is trained pays for them from the training's share."""

import torch
from torch import nn

from svlearn.advising.training import FEWEST_STEPS, STEPS, price_of_look, steps_for
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean, Residual

PRICES = {"reference_calls": 1.0, "policy_calls": 1.0, "value_calls": 0.25, "gradient_calls": 1.0, "reward_calls": 20.0}


def first(x):
    return x[:, 0]


def last(x):
    return x[:, -1]


def test_a_look_costs_what_the_value_asks():
    target, surrogate = Target(first, 0.0), Target(last, 0.0)
    learned = Learned(nn.Identity())
    assert price_of_look(learned, target, PRICES) == 0.25
    assert price_of_look(Residual(PosteriorMean(target), learned), target, PRICES) == 0.25 + 1.0 + 20.0
    assert price_of_look(Residual(PosteriorMean(surrogate), learned), target, PRICES) == 0.25 + 1.0


def test_dear_looks_are_fewer_steps_and_free_ones_all():
    assert steps_for(1e5, 0.25) == STEPS > steps_for(1e6, 21.25) == 91 > steps_for(1e4, 21.25) == FEWEST_STEPS
    assert steps_for(torch.inf, 0.0) == STEPS
