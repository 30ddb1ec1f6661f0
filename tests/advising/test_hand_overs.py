"""Which hand-overs from one value to another an advice tries."""

import numpy as np
import torch

import svlearn as sv
from svlearn.advising.candidates import Shelf
from svlearn.advising.foresight import Foresight
from svlearn.domains.analytic import LinearGaussianChain

CHAIN = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
GAINS = Foresight(np.array([1.0, 1, 0, 0]), 2.0, 0.1, 4), Foresight(np.array([0.0, 0, 1, 1]), 2.0, 0.1, 4)


def tried(limit):
    target = sv.Target(CHAIN.reward, alpha=0.0)
    values = {"early": CHAIN.mean_value(), "late": sv.values.PosteriorMean(target)}
    shelf = Shelf(CHAIN, target, values, frozenset({"early"}), lambda calls: calls["reference_calls"], limit)
    return shelf, shelf.of_two("early", "late", GAINS)


def test_a_later_hand_over_is_tried_where_it_leaves_more_candidates():
    """Of M candidates the reference is called once a step, and M - 1 times more where the later value chooses: 2 + 2 M
    from t = 2 on, 3 + M from t = 3 on."""
    _, made = tried(12.0)
    assert [each.name for each in made] == [
        "SVDD, early to t = 2, then late, 4 candidates",
        "SVDD, early to t = 3, then late, 8 candidates",
    ]
    assert [each.calls["reference_calls"] for each in made] == [10, 11]
    assert all(each.trained == "early" for each in made)


def test_one_that_leaves_no_more_is_not():
    _, made = tried(18.0)
    assert [each.name for each in made] == ["SVDD, early to t = 2, then late, 8 candidates"]


def test_the_calls_are_those_that_the_sampler_makes():
    _, made = tried(12.0)
    for each in made:
        cost = each.sampler.sample(50, generator=torch.Generator().manual_seed(0)).cost
        assert cost.reference_calls == 50 * each.calls["reference_calls"]
        assert cost.reward_calls == 50 * each.calls["reward_calls"]
