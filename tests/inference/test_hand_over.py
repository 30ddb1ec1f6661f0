"""When one value hands over to another, by samples: the start is found where the truth is known."""

import pytest
import torch
from condition_toys import markov_by_class
from torch import nn

from svlearn.inference.hand_over import best_switch
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean, Switch, Zero


class Wrong(nn.Module):
    """-x: the value of the random walk of conftest.py, with r(x) = x, is x."""

    def forward(self, x, t):
        return -x.squeeze(1)


@pytest.fixture
def greedy():
    return Target(lambda x: x.squeeze(1), alpha=0.0)


def test_the_start_is_where_the_one_is_no_longer_right_and_the_other_is(walk, greedy):
    right, wrong = PosteriorMean(greedy), Learned(Wrong())
    early, late = Switch(right, wrong, 2), Switch(wrong, right, 2)
    switch = best_switch(early, late, walk, greedy, starts=range(5), num_samples=50, num_candidates=4)
    assert (switch.start, switch.early, switch.late) == (2, early, late)
    assert best_switch(wrong, right, walk, greedy, starts=[3, 1], num_samples=50, num_candidates=4).start == 1
    assert best_switch(right, wrong, walk, greedy, starts=[3, 1], num_samples=50, num_candidates=4).start == 3


def test_of_equals_it_is_the_last_and_all_have_the_same_draws(walk, greedy):
    batches = []
    target = Target(lambda x: batches.append(x.clone()) or x.squeeze(1), alpha=0.0)
    assert best_switch(Zero(), Zero(), walk, target, starts=[1, 3, 2], num_samples=5, num_candidates=2).start == 3
    assert len(batches) == 3 and torch.equal(batches[0], batches[1])


def test_starts_are_checked(walk, greedy):
    with pytest.raises(ValueError, match="starts: expected at least one, got none"):
        best_switch(Zero(), Zero(), walk, greedy, starts=[])
    with pytest.raises(ValueError, match=r"starts: expected integers of at least 0, got \[-1\]"):
        best_switch(Zero(), Zero(), walk, greedy, starts=[-1])


def test_samples_are_drawn_under_conditions():
    oracle = markov_by_class()
    arguments = (Zero(), oracle.mean_value(), oracle, oracle.target(1.0))
    rows = torch.tensor([0, 1, 2, 1])
    assert best_switch(*arguments, starts=[1], num_samples=4, num_candidates=2, condition=rows).start == 1
    with pytest.raises(ValueError, match="condition: expected 8 numbers 0 ... 2, got None"):
        best_switch(*arguments, starts=[1], num_samples=4, num_candidates=2)
