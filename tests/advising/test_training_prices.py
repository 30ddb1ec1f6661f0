"""A value that asks for the reference and the reward where it is trained pays for them from the training's share."""

import pytest
import torch
from torch import nn

from svlearn.advising import Budget
from svlearn.advising.trained_values import FEWEST_STEPS, STEPS, price_of_look, steps_for
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean, Residual

PRICES = {"reference_calls": 1.0, "policy_calls": 1.0, "value_calls": 0.25, "gradient_calls": 1.0, "reward_calls": 20.0}
CALLS = Budget(1e9, "calls")


class Plain(nn.Module):
    def forward(self, x, t):
        return x[:, 0].float()


def first(x):
    return x[:, 0]


def last(x):
    return x[:, -1]


TARGET, LEARNED = Target(first, 0.0), Learned(Plain())
RESIDUAL = Residual(PosteriorMean(TARGET), LEARNED)


def test_a_look_costs_what_the_value_asks():
    surrogate = Target(last, 0.0)
    assert price_of_look(LEARNED, TARGET, PRICES) == 0.25
    assert price_of_look(RESIDUAL, TARGET, PRICES) == 0.25 + 1.0 + 20.0
    assert price_of_look(Residual(PosteriorMean(surrogate), LEARNED), TARGET, PRICES) == 0.25 + 1.0


def test_dear_looks_are_fewer_steps_and_free_ones_all():
    """64 trajectories at 8 times a step, of a chain of as many steps."""
    chain = FiniteMarkovChain.random(3, 8, seed=0)

    def steps(share, value, prices=PRICES):
        return steps_for(CALLS, share, value, chain, TARGET, prices)

    looks = 64 * 8
    assert steps(1e6, LEARNED) == STEPS["calls"]
    assert steps(100.5 * looks * 0.25, LEARNED) == 100 and steps(100.5 * looks * 21.25, RESIDUAL) == 100
    assert steps(1.0, LEARNED) == FEWEST_STEPS
    assert steps(torch.inf, LEARNED, {**PRICES, "value_calls": 0.0}) == STEPS["calls"]
    with pytest.raises(ValueError, match="steps of its training would cost .* calls in predictions, over its share"):
        steps(1.0, RESIDUAL)
