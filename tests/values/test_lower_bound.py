"""The mean of several values less their spread: by hand, and against choosing what a network overrates."""

import math

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.domains.analytic.markov_chain import TableValue
from svlearn.randomness import seeded
from svlearn.values import Learned, LowerBound, PosteriorMean, Zero, evaluate


class Slope(nn.Module):
    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, x, t):
        return self.slope * x.squeeze(1)


def test_it_is_the_mean_less_beta_standard_deviations():
    x = torch.tensor([[1.0], [-2.0], [0.0]])
    members = [Learned(Slope(slope)) for slope in (1.0, 2.0, 6.0)]
    spread = math.sqrt((4 + 1 + 9) / 2)
    for beta in (0.0, 0.5, -1.0):
        expected = [3 - beta * spread, -6 - 2 * beta * spread, 0.0]
        assert evaluate(LowerBound(members, beta), x, 1).tolist() == pytest.approx(expected)


def test_its_gradient_is_a_number_where_all_agree():
    x = torch.tensor([[1.0], [0.0]], requires_grad=True)
    LowerBound([Learned(Slope(1.0)), Learned(Slope(3.0))])(x, torch.tensor([0, 0])).sum().backward()
    assert x.grad[:, 0].tolist() == pytest.approx([2.0 - math.sqrt(2), 2.0])


NOISE = torch.tensor([0.1, 0.1, 2.0, 0.1, 2.0], dtype=torch.float64)


def members(chain, number, seed):
    """Tables that err independently of one another, and much at two states of five."""
    noise = NOISE * torch.randn(number, chain.num_steps, 5, generator=seeded("cpu", seed), dtype=torch.float64)
    return [TableValue(chain.mean_table()[:-1] + each) for each in noise]


def chosen(chain, value, t=2, copies=4, number=1000):
    """What the best of M states at t is taken for, and what it is worth: by the value, and by the exact one."""
    states = torch.multinomial(chain.marginals()[t], number * copies, True, generator=seeded("cpu", 0))[:, None]
    said = value(states, torch.full((len(states),), t)).view(number, copies)
    exact = chain.mean_table()[t][states[:, 0]].view(number, copies)
    best = said.argmax(dim=1, keepdim=True)
    return said.gather(1, best).mean(), exact.gather(1, best).mean()


def test_what_is_chosen_is_overrated_less_and_worth_more():
    """Over 200 ensembles of four: the winner of one network's estimates is worth less than these say, that of the mean
    by half as much or less, and the winner of the bound is worth the most."""
    chain = FiniteMarkovChain.random(num_states=5, num_steps=4, seed=3)
    gaps, gains = [], []
    for seed in range(200):
        several = members(chain, 4, seed)
        values = several[0], LowerBound(several, 0.0), LowerBound(several, 1.0)
        said, worth = zip(*(chosen(chain, value) for value in values), strict=True)
        gaps.append([float(one - other) for one, other in zip(said, worth, strict=True)])
        gains.append([float(each) for each in worth])
    overrated, worth = torch.tensor(gaps).mean(dim=0), torch.tensor(gains)
    assert overrated[0] > 2 * overrated[1] > 0 and overrated[2] < overrated[1]
    for better, other in ((2, 1), (1, 0)):
        gain = worth[:, better] - worth[:, other]
        assert gain.mean() > 3 * gain.std() / math.sqrt(200)


def test_a_greedy_sampler_reaches_more_with_it_than_with_one_network():
    chain = FiniteMarkovChain.random(num_states=5, num_steps=4, seed=3)
    rewards = []
    for seed in range(20):
        several = members(chain, 4, seed)
        for value in (several[0], LowerBound(several)):
            samples = sv.svdd(chain, chain.target(0.0), value, [4, 4, 4, 4, 1]).sample(500, generator=seeded("cpu", 7))
            rewards.append(samples.rewards.mean())
    gain = torch.stack(rewards).view(20, 2).diff(dim=1)
    assert gain.mean() > 3 * gain.std() / math.sqrt(20)


def test_it_asks_for_what_its_members_ask():
    chain = FiniteMarkovChain.random(num_states=5, num_steps=4, seed=3)
    target = chain.target(0.5)
    value = LowerBound([PosteriorMean(target), chain.mean_value()])
    assert value.needs_prediction and sv.svdd(chain, target, value, 3).sample(2).cost.reference_calls == 2 * 3 * 4


def test_what_is_refused():
    with pytest.raises(ValueError, match="values: expected at least two Values, got 1"):
        LowerBound([Zero()])
    with pytest.raises(TypeError, match=r"values\[1\]: expected a Value, got Slope"):
        LowerBound([Zero(), Slope(1.0)])
    with pytest.raises(ValueError, match="beta: expected a finite number, got nan"):
        LowerBound([Zero(), Zero()], math.nan)
