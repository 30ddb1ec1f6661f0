"""What is wrong in one way with a value or a reward is named by the extension kit."""

import pytest
import torch
from kit_toys import Walk

import svlearn as sv
from svlearn.testing import check_reward, check_value


def of(function, **options):
    def forward(self, x, t, prediction=None, *, generator=None):
        return function(x, t)

    return type("Mine", (sv.Value,), {"forward": forward, **options})()


def writes(x, t):
    return x.mul_(2.0)[:, 0]


WRONG_VALUES = {
    "of elements": (lambda x, t: x, {}, r"at t = 0: expected floats of shape \(B,\)"),
    "nan": (lambda x, t: x[:, 0] / 0.0, {}, "at t = 0: expected finite numbers"),
    "mixes rows": (lambda x, t: x[:, 0] - x[:, 0].mean(), {}, "expected of chosen rows their own numbers"),
    "random": (lambda x, t: x[:, 0] + torch.rand(len(x)), {}, "needs_generator = True"),
    "random by another": (
        lambda x, t: x[:, 0] + torch.rand(len(x)),
        {"needs_generator": True},
        "expected draws by `generator` alone",
    ),
    "one time": (lambda x, t: x[:, 0] * t[0], {}, "of rows at t = 0 and t = 2 in one call"),
    "writes": (writes, {}, "expected x as it came"),
    "integers": (lambda x, t: t, {}, "expected floats"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_a_value_that_is_wrong_in_one_way_is_named(name):
    function, options, words = WRONG_VALUES[name]
    with pytest.raises(ValueError, match=f"check_value: Mine\n- Mine.forward.*{words}"):
        check_value(of(function, **options), Walk())


def test_a_value_that_reads_what_it_is_not_given_is_told_to_say_so():
    class Reads(sv.Value):
        def forward(self, x, t, prediction=None, *, generator=None):
            return prediction.clean[:, 0]

    with pytest.raises(ValueError, match="Reads.forward at t = 0: .*write needs_prediction = True"):
        check_value(Reads(), Walk())


class Counting:
    """Never twice the same."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x[:, 0] + self.calls


WRONG_REWARDS = {
    "of elements": (lambda x: x, r"expected floats of shape \(B,\)"),
    "a number": (lambda x: float(x.sum()), "expected a torch.Tensor"),
    "nan": (lambda x: x[:, 0] * torch.nan, "expected numbers or -inf"),
    "ranks": (lambda x: x[:, 0].argsort().argsort().double(), "a reward scores each state by itself"),
    "writes": (lambda x: x.mul_(2.0)[:, 0], "expected the states as they came"),
    "counts": (Counting(), "the same each time"),
    "raises": (lambda x: 1 / 0, "division by zero"),
}


@pytest.mark.parametrize("name", WRONG_REWARDS)
def test_a_reward_that_is_wrong_in_one_way_is_named(name):
    reward, words = WRONG_REWARDS[name]
    with pytest.raises(ValueError, match=f"check_reward: .*\n- .*{words}"):
        check_reward(reward, Walk())


def test_what_a_reward_says_of_itself_is_looked_at():
    def reward(x):
        return x[:, 0]

    reward.asynchronous = "yes"
    with pytest.raises(ValueError, match="reward.asynchronous: expected True or False, got 'yes'"):
        check_reward(reward, Walk())
    with pytest.raises(TypeError, match="reward: expected a callable"):
        check_reward(3, Walk())
