"""Targets: what they accept, what they refuse, and the posteriors that are one."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn import targets
from svlearn.metering import metered
from svlearn.targets import Target


def total(x):
    return x.sum(dim=1)


@pytest.mark.parametrize("alpha", [-0.1, math.nan, math.inf])
def test_alpha_must_be_finite_and_not_negative(alpha):
    with pytest.raises(ValueError, match=rf"alpha: expected a finite number of at least 0, got {alpha}"):
        Target(total, alpha)


@pytest.mark.parametrize("alpha", ["1", None, True, torch.ones(1)])
def test_alpha_must_be_a_number(alpha):
    with pytest.raises(TypeError, match="alpha: expected a number"):
        Target(total, alpha)


def test_a_reward_must_be_callable():
    with pytest.raises(TypeError, match="reward: expected a callable"):
        Target(3.0, 1.0)


@pytest.mark.parametrize(
    ("reward", "error", "words"),
    [
        (lambda x: x, ValueError, r"reward: expected shape \(4,\), one number a state, at step T, got \(4, 2\)"),
        (lambda x: x[:, :1], ValueError, r"got \(4, 1\)"),
        (lambda x: 1.0, TypeError, "reward: expected a torch.Tensor"),
        (lambda x: torch.tensor([0.0, 1.0, math.nan, 2.0]), ValueError, "at step T, got nan at index 2"),
        (lambda x: torch.tensor([0.0, math.inf, 0.0, 2.0]), ValueError, "got inf at index 1"),
    ],
)
def test_a_bad_reward_is_refused_with_its_index(reward, error, words):
    with pytest.raises(error, match=words):
        Target(reward, 1.0)(torch.zeros(4, 2))


def test_the_index_counts_over_all_pieces_of_a_cut_batch():
    reward = Target(lambda x: x[:, 0], 1.0)
    x = torch.zeros(5, 1)
    x[3] = math.nan
    with metered(max_batch=2), pytest.raises(ValueError, match="index 3"):
        reward(x)


def test_minus_infinity_is_legal_at_the_end_and_floored_before():
    target = Target(lambda x: torch.full((len(x),), -math.inf), alpha=0.5)
    assert target(torch.zeros(2, 1)).tolist() == [-math.inf, -math.inf]
    assert target.floored(torch.zeros(2, 1), 3).tolist() == [-50.0, -50.0]
    assert Target(total, 1.0, floor=-3.0).floored(torch.full((1, 1), -7.0), 0).item() == -3.0


def test_integer_rewards_become_floats():
    assert Target(lambda x: torch.ones(len(x), dtype=torch.long), 1.0)(torch.zeros(2, 1)).is_floating_point()


def test_the_four_posteriors():
    x = torch.tensor([[1.0], [-2.0]])
    assert targets.likelihood(total)(x).tolist() == [1.0, -2.0]
    inside = targets.constraint(lambda x: x[:, 0] > 0)
    assert inside(x).tolist() == [0.0, -math.inf]
    assert inside.floored(x, 0)[1].item() == pytest.approx(math.log(1e-4))
    density = targets.unnormalized_density(lambda x: 3 * total(x), total)
    assert density(x).tolist() == [2.0, -4.0]
    assert {inside.alpha, density.alpha, targets.likelihood(total).alpha} == {1.0}


def test_a_constraint_needs_a_bool():
    with pytest.raises(TypeError, match="predicate: expected a bool tensor"):
        targets.constraint(total)(torch.zeros(2, 1))


def test_rewards_are_counted_per_state():
    target = Target(total, 1.0)
    with metered(max_batch=3) as meter:
        target(torch.zeros(7, 2))
    assert meter.cost.reward_calls == 7


class Eager(nn.Module):
    """A reward that computes with gradients whatever is asked of it, through a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        with torch.enable_grad():
            return self.weight * (x if isinstance(x, torch.Tensor) else x["place"]).sum(dim=1)


@pytest.mark.parametrize("limit", [None, 2])
def test_a_reward_has_a_gradient_only_where_its_state_asks_for_one(limit):
    target = Target(Eager(), 1.0)
    x = torch.randn(5, 2)
    asking = x.clone().requires_grad_()
    with metered(max_batch=limit):
        assert not target(x).requires_grad
        assert not target.floored(x, 0).requires_grad
        assert not target(TensorDict({"place": x}, batch_size=[5])).requires_grad
        with torch.no_grad():
            assert not target(asking).requires_grad
        assert target(TensorDict({"place": asking, "token": x.long()}, batch_size=[5])).requires_grad
        (gradient,) = torch.autograd.grad(target(asking).sum(), asking)
    assert torch.equal(gradient, torch.ones(5, 2))
