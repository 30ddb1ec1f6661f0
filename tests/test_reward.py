"""What a reward may say of itself, and the weighted sum of several."""

import json
import math

import pytest
import torch

import svlearn as sv
from svlearn.description import describe
from svlearn.identity import identity
from svlearn.recipes import Context, build
from svlearn.reward import WeightedSum, as_sum, forget, is_asynchronous, reads_one_hot


class Remembers:
    """x² of single numbers, each asked for once until it is told to forget."""

    asynchronous = True
    reads_one_hot = True

    def __init__(self):
        self.known = {}

    def __call__(self, x):
        return torch.tensor([self.known.setdefault(float(each), float(each) ** 2) for each in x])

    def forget(self):
        self.known.clear()


def test_a_plain_callable_says_nothing():
    assert not is_asynchronous(torch.sum) and not reads_one_hot(torch.sum)
    forget(torch.sum)


def test_what_a_reward_says_is_read():
    reward = Remembers()
    reward(torch.tensor([1.0, 2.0]))
    assert is_asynchronous(reward) and reads_one_hot(reward) and len(reward.known) == 2
    forget(reward)
    assert reward.known == {}


def test_a_dict_is_the_weighted_sum():
    x = torch.tensor([1.0, -2.0, 3.0])
    target = sv.Target({Remembers(): 0.5, torch.neg: 3.0}, alpha=0.1)
    assert target(x).tolist() == [0.5 - 3.0, 2.0 + 6.0, 4.5 - 9.0]
    constrained = sv.Target({torch.neg: 1.0, (lambda x: torch.where(x > 0, 0.0, -math.inf)): 2.0}, 0.1)
    assert constrained(x).tolist() == [-1.0, -math.inf, -3.0]


def test_a_reward_of_weight_0_is_not_called():
    def never(x):
        raise AssertionError("called")

    x = torch.tensor([2.0])
    assert WeightedSum({never: 0.0, torch.neg: 1.0})(x).tolist() == [-2.0]
    assert WeightedSum({torch.neg: 0.0})(x).tolist() == [0.0]


def test_a_sum_says_what_its_rewards_say():
    reward = Remembers()
    both = WeightedSum({reward: 1.0, torch.neg: 1.0})
    both(torch.tensor([1.0]))
    assert both.asynchronous and not both.reads_one_hot and len(reward.known) == 1
    both.forget()
    assert reward.known == {} and WeightedSum({reward: 1.0}).reads_one_hot
    assert sv.values.PosteriorMean(sv.Target({reward: 1.0, torch.neg: 1.0}, 0.1)).asynchronous


def test_sums_are_told_apart_by_weights_and_rewards():
    sums = [{torch.neg: 1.0}, {torch.neg: 2.0}, {torch.exp: 1.0}, {torch.neg: 1.0, torch.exp: 1.0}]
    identities = {identity(sv.Target(each, 1.0)) for each in sums}
    assert len(identities) == 4 and identity(sv.Target({torch.neg: 1.0}, 1.0)) in identities


def test_pairs_are_a_sum_of_all_of_them():
    x = torch.tensor([1.0, -2.0])
    assert WeightedSum([[torch.neg, 1.0], (torch.neg, 2.0), [torch.abs, 1.0]])(x).tolist() == [-2.0, 8.0]
    assert as_sum(torch.neg)(x).tolist() == as_sum({torch.neg: 1.0})(x).tolist() == [-1.0, 2.0]


def negative(x):
    return -x


def test_a_target_of_a_sum_is_built_again(walk):
    target = sv.Target({negative: 0.5}, 0.1)
    recipe = json.loads(json.dumps(describe(target, walk, "target")))
    again = build(recipe, Context(), "target")
    x = torch.tensor([1.0, -2.0])
    assert again(x).tolist() == target(x).tolist() == [-0.5, 1.0] and identity(again) == identity(target)


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ({}, ValueError, "reward: expected at least one"),
        ({"qed": 1.0}, TypeError, "reward: expected callables of states, as {reward: weight}, got 'qed'"),
        ({torch.neg: math.inf}, ValueError, r"reward\[0\]: expected .*, got inf"),
        ({torch.neg: "much"}, TypeError, r"reward\[0\]: expected .*, got str"),
    ],
)
def test_bad_sums_are_refused(weights, error, words):
    with pytest.raises(error, match=words):
        sv.Target(weights, 1.0)


@pytest.mark.parametrize(
    ("pairs", "error", "words"),
    [
        ([], ValueError, "reward: expected at least one"),
        ([torch.neg], TypeError, r"reward: expected pairs \[reward, weight\], got <built-in"),
        ([[torch.neg, 1.0, 2.0]], TypeError, r"reward: expected pairs \[reward, weight\]"),
        (["ab"], TypeError, r"reward: expected pairs \[reward, weight\], got 'ab'"),
        ([[torch.neg, "much"]], TypeError, r"reward\[0\]: expected .*, got str"),
    ],
)
def test_bad_pairs_are_refused(pairs, error, words):
    with pytest.raises(error, match=words):
        WeightedSum(pairs)
