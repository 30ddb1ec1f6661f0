"""A value and what it is wrong by: the same minimum as a value learned whole, of targets that vary less."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.metering import metered
from svlearn.objectives import MonteCarloRegression, SoftQIteration
from svlearn.objectives.fit import fit
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Residual, evaluate

ALPHA = 2.0


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, 3, dtype=torch.float64))

    def forward(self, x, t):
        return self.table[t, x[:, 0]]


class Constant(nn.Module):
    """One number at each time."""

    def __init__(self, num_steps):
        super().__init__()
        self.numbers = nn.Parameter(torch.zeros(num_steps, dtype=torch.float64))

    def forward(self, x, t):
        return self.numbers[t]


def tiny():
    start = torch.tensor([2, 1, 1]) / 4
    matrices = [[[2, 1, 1], [1, 3, 0], [0, 2, 2]], [[3, 0, 1], [1, 1, 2], [1, 2, 1]]]
    return FiniteMarkovChain(start.double(), torch.tensor(matrices).double() / 4, torch.tensor([1.0, -2.0, -0.5]))


def every_path(chain):
    """64 trajectories, each path as often as it is likely."""
    paths = []
    for path in itertools.product(range(3), repeat=3):
        moves = zip(chain.matrices, path, path[1:], strict=False)
        likely = chain.initial_probs[path[0]] * math.prod(float(matrix[x, y]) for matrix, x, y in moves)
        paths += [path] * round(64 * float(likely))
    states = torch.tensor(paths)[:, :, None]
    return TensorDict({"states": states, "rewards": chain.reward(states[:, -1])}, batch_size=[64])


def gaussian():
    return LinearGaussianChain.random(dim=2, num_steps=4, seed=0)


@pytest.mark.parametrize("family", [MonteCarloRegression, SoftQIteration])
@pytest.mark.parametrize("estimand", ["mean", "soft"])
def test_the_correction_to_the_exact_value_is_the_zero_of_the_expected_gradient(family, estimand):
    chain = tiny()
    target = chain.target(ALPHA)
    exact = (chain.mean_table() if estimand == "mean" else chain.soft_table(ALPHA))[:2]
    point = torch.stack([chain.reward.table[probs.argmax(dim=1)] for probs in chain.clean_probs[:2]])
    for shift in (0.0, 0.1):
        value = Residual(PosteriorMean(target), Learned(Table()))
        network = value.correction.network
        network.table.data.copy_(exact - point + shift)
        objective = family(chain, target, value, estimand)
        objective.loss(every_path(chain), seeded("cpu", 0)).backward()
        assert (network.table.grad.abs().max() < 1e-14) == (shift == 0.0)


def test_of_a_quadratic_reward_one_number_at_each_time_is_all_that_is_left_to_learn():
    chain = gaussian()
    target = chain.target(0.0)
    value = Residual(PosteriorMean(target), Learned(Constant(4)))
    objective = MonteCarloRegression(chain, target, value, batch_size=1000, learning_rate=0.1)
    fit(objective, max_steps=150, enable_progress_bar=False)
    trajectories = roll_out(chain, 1000, target=target, generator=seeded("cpu", 9))
    for t in range(4):
        x = trajectories["states"][:, t]
        exact, moments = chain.mean_value(), torch.full((1000,), t)
        with torch.no_grad():
            gaps = evaluate(value, x, t, predict(chain, x, t)) - exact(x, moments)
        error = (trajectories["rewards"] - exact(x, moments)).std() / math.sqrt(1000)
        assert gaps.std() < 1e-10 and gaps.abs().max() < 4 * error


def test_what_is_left_varies_by_the_variance_of_the_value_less():
    chain = gaussian()
    target = chain.target(0.0)
    trajectories = roll_out(chain, 4000, target=target, generator=seeded("cpu", 0))
    rewards, shares = trajectories["rewards"], []
    for t in range(4):
        x, moments = trajectories["states"][:, t], torch.full((4000,), t)
        left = rewards - evaluate(PosteriorMean(target), x, t, predict(chain, x, t))
        torch.testing.assert_close(left.var(), (rewards - chain.mean_value()(x, moments)).var())
        shares.append(float(left.var() / rewards.var()))
    assert shares == sorted(shares, reverse=True) and shares[-1] < 0.5 and shares[0] < 0.999, shares


def test_it_costs_what_its_parts_cost():
    chain = gaussian()
    target = chain.target(1.0)
    value = Residual(PosteriorMean(target), Learned(Constant(4)))
    assert value.needs_prediction and not value.needs_generator
    cost = sv.svdd(chain, target, value, 3).sample(5).cost
    assert cost.reference_calls == 5 * 3 * 4 and cost.value_calls == 5 * 3 * 4 and cost.reward_calls == 5 * 3 * (4 + 1)
    late = Residual(sv.values.AtSteps(PosteriorMean(target), [3]), Learned(Constant(4)))
    assert [late.reads(t) for t in range(4)] == [False, False, False, True]
    assert sv.svdd(chain, target, late, 3).sample(5).cost.reference_calls == 5 * (3 + 3)


def test_a_random_base_takes_the_generator():
    chain = gaussian()
    value = Residual(MonteCarlo(chain, chain.target(1.0), 2), Learned(Constant(4)))
    x = torch.zeros(20, 2).double()
    one, again, other = (evaluate(value, x, 1, generator=seeded("cpu", seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_base_whose_parameters_require_no_gradient_stays():
    chain = tiny()
    base = Learned(Table()).requires_grad_(False)
    value = Residual(base, Learned(Table()))
    with metered():
        fit(MonteCarloRegression(chain, chain.target(0.0), value), max_steps=2, enable_progress_bar=False)
    assert not base.network.table.any() and value.correction.network.table.any()


def test_what_is_no_value_is_named():
    with pytest.raises(TypeError, match="correction: expected a Value, got Table"):
        Residual(Learned(Table()), Table())
    with pytest.raises(TypeError, match="base: expected a Value, got NoneType"):
        Residual(None, Learned(Table()))
