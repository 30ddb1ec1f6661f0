"""The average of values: weights by hand, and an error on the oracles that is at most the best one's."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.inference.samplers import svdd
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Ensemble, Learned, MonteCarlo, PosteriorMean, Value, Zero, evaluate
from svlearn.values.calibration import calibrate
from svlearn.values.ensemble import least_error_weights

N = 4000


class Off(Value):
    """A value and a mistake of its own, which grows or shrinks with t."""

    def __init__(self, value, sizes, seed):
        super().__init__()
        self.value, self.sizes = value, torch.tensor(sizes, dtype=torch.float64)
        self.direction = torch.randn(5, generator=seeded("cpu", seed)).double()

    def forward(self, x, t, prediction=None):
        wave = torch.sin(3 * x.double() @ self.direction[: x.shape[1]] + self.direction[-1])
        return self.value(x, t) + self.sizes[t] * wave


ORACLES = {"markov": FiniteMarkovChain.random(5, 5, seed=1), "gaussian": LinearGaussianChain.random(2, 5, seed=1)}


def setting(kind):
    """An oracle, a learned-like value that is better early, a posterior mean, and two sets of trajectories."""
    oracle = ORACLES[kind]
    target = oracle.target(1.0)
    learned = Off(oracle.mean_value(), [0.1, 0.2, 0.4, 0.7, 1.0], seed=3)
    trajectories = [roll_out(oracle, N, target=target, generator=seeded("cpu", seed)) for seed in (1, 2)]
    return oracle, (learned, PosteriorMean(target)), *trajectories


def squared(value, oracle, trajectories):
    return calibrate(value, oracle, trajectories)["mean_squared_error"].to_numpy()


@pytest.mark.parametrize("kind", ORACLES)
def test_the_error_is_at_most_the_best_ones_at_every_t(kind):
    oracle, values, ours, others = setting(kind)
    averaged = Ensemble.fit(values, oracle, ours)
    assert ((averaged.weights > 0) & (averaged.weights < 1)).any()  # it does average
    best = np.minimum(*(squared(value, oracle, ours) for value in values))
    assert (squared(averaged, oracle, ours) <= best + 1e-12).all()
    fresh = np.minimum(*(squared(value, oracle, others) for value in values))
    rewards = others["rewards"]
    for t in range(oracle.num_steps):
        x, prediction = others["states"][:, t], oracle(others["states"][:, t], torch.full((N,), t))
        predictions = [evaluate(value, x, t, prediction).double() for value in (averaged, *values)]
        losses = torch.stack([(each - rewards) ** 2 for each in predictions])
        place = 1 + int(losses[1:].mean(1).argmin())
        gap = losses[0] - losses[place]
        assert fresh[t] == pytest.approx(float(losses[place].mean()), rel=1e-12)
        assert gap.mean() <= 4 * gap.std() / N**0.5  # fitted elsewhere: at most by chance


def test_weights_by_hand():
    # independent errors of squares 1 and 3: 3/4 and 1/4; of products 1, 0.5, 3: (2.5, 0.5)/3; 1, 2, 9: the first alone
    independent = least_error_weights(torch.diag_embed(torch.tensor([[1.0, 3.0]]).double()))
    assert independent[0].tolist() == pytest.approx([0.75, 0.25])
    assert Ensemble([Zero(), Zero()], torch.tensor([[1.0, 3.0]])).weights[0].tolist() == pytest.approx([0.75, 0.25])
    mixed = torch.tensor([[[1.0, 0.5], [0.5, 3.0]], [[1.0, 2.0], [2.0, 9.0]]]).double()
    assert least_error_weights(mixed).flatten().tolist() == pytest.approx([2.5 / 3, 0.5 / 3, 1.0, 0.0])


def test_weights_where_an_error_is_nothing_or_two_are_one():
    exact = torch.tensor([[[0.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]).double()
    assert least_error_weights(exact).tolist() == [[1, 0], [0, 1], [1, 0]]
    twins = torch.full((1, 2, 2), 1.7).double()
    assert least_error_weights(twins).tolist() == [[1, 0]]
    assert Ensemble([Zero(), Zero()], torch.tensor([[0.0, 3.0]])).weights.tolist() == [[1, 0]]


def test_three_values_against_a_grid():
    """No point of a fine grid of the simplex has a lower error than the weights found."""
    factors = torch.randn(20, 3, 3, generator=seeded("cpu", 4)).double()
    errors = factors @ factors.mT
    weights = least_error_weights(errors)
    assert (weights >= 0).all() and torch.allclose(weights.sum(1), torch.ones(20).double())
    assert ((weights > 0).sum(1).bincount(minlength=4)[1:] > 0).all()  # one, two and three values are used
    grid = torch.tensor([[a, b, 60 - a - b] for a, b in itertools.product(range(61), repeat=2) if a + b <= 60]) / 60
    least = torch.einsum("gj,tjk,gk->tg", grid.double(), errors, grid.double()).amin(1)
    losses = torch.einsum("tj,tjk,tk->t", weights, errors, weights)
    assert (losses <= least + 1e-12).all() and (losses > least - 0.02).all()


def test_a_sampler_calls_what_it_needs(walk, target):
    class First(nn.Module):
        calls = 0

        def forward(self, x, t):
            self.calls += 1
            return x.squeeze(1)

    network = First()
    values = [Learned(network), PosteriorMean(target)]
    averaged = Ensemble(values, torch.tensor([[1.0, 3.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    assert averaged.needs_prediction and not averaged.needs_generator
    cost = svdd(walk, target, averaged, 5).sample(3).cost
    assert cost.reference_calls == 3 * (5 * 3 + 1)  # at t = 1, where the network is asked alone, only of who is kept
    assert cost.value_calls == 3 * 5 * 4
    assert network.calls == 3 and cost.reward_calls == 3 * 5 * (3 + 1)  # each rests at one t; r itself at T
    x = torch.tensor([[2.0], [-1.0]]).double()
    doubled = Ensemble([Learned(network), Zero()], torch.tensor([[1.0, 3.0]] * 4))
    assert evaluate(doubled, x, 0).tolist() == pytest.approx([1.5, -0.75])
    assert evaluate(doubled, x, torch.tensor([3, 0])).tolist() == pytest.approx([1.5, -0.75])


def test_a_random_value_takes_the_generator(walk, target, value):
    averaged = Ensemble([value, MonteCarlo(walk, target, 2)], torch.ones(4, 2))
    x = torch.zeros(50, 1).double()
    one, again, other = (evaluate(averaged, x, 1, generator=seeded("cpu", seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    trajectories = roll_out(walk, 200, target=target, generator=seeded("cpu", 0))
    with metered() as meter:
        fitted = Ensemble.fit([value, MonteCarlo(walk, target, 2)], walk, trajectories, generator=seeded("cpu", 1))
    assert meter.cost.reference_calls == 200 * 2 * (4 + 3 + 2 + 1)
    assert (fitted.weights[1:, 0] > 0.5).all()  # E[r | x_t] itself against two rollouts


def test_rewards_of_minus_infinity_are_left_out(walk, value, target):
    trajectories = roll_out(walk, 300, target=target, generator=seeded("cpu", 0))
    rewards = trajectories["rewards"].clone()
    rewards[:100] = -torch.inf
    whole = Ensemble.fit([value, Zero()], walk, trajectories, rewards=rewards)
    left = Ensemble.fit([value, Zero()], walk, trajectories[100:])
    torch.testing.assert_close(whole.weights, left.weights, rtol=1e-12, atol=1e-12)


def test_what_is_refused(value, target):
    with pytest.raises(ValueError, match=r"values: expected at least two Values, got \['Learned'\]"):
        Ensemble([value], torch.ones(4, 1))
    with pytest.raises(ValueError, match="values: expected at least two Values"):
        Ensemble([value, nn.Identity()], torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"errors: expected shape \(T, 2\) or with products, got \(4, 3, 3\)"):
        Ensemble([value, Zero()], torch.ones(4, 3))
    with pytest.raises(ValueError, match="errors: expected finite numbers"):
        Ensemble([value, Zero()], torch.tensor([[1.0, -1.0]]))
