"""Surrogates: exact where the class of the regressor holds the reward, unsure as often as they say, and in rounds."""

import math

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.randomness import seeded
from svlearn.surrogates import NetworkRegressor, Surrogate, refit_in_rounds
from svlearn.surrogates.surrogate import conformal_scale


def products(x):
    """All products of two coordinates, and the coordinates: a quadratic is linear in them."""
    return torch.cat([x, torch.einsum("bi,bj->bij", x, x).flatten(1)], dim=1)


def mlp(width):
    return nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))


def noisy(number, seed):
    """Inputs (N, 2) and 3 x_0 - x_1 plus a standard normal error."""
    x = torch.randn(number, 2, generator=seeded("cpu", seed), dtype=torch.float64)
    return x, 3 * x[:, 0] - x[:, 1] + torch.randn(number, generator=seeded("cpu", seed, 1), dtype=torch.float64)


def test_a_reward_that_the_class_holds_is_learned_exactly_and_guides_as_the_reward_itself():
    oracle = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
    states = oracle.initial(40, generator=seeded("cpu", 0))
    surrogate = Surrogate(products, LinearRegression()).fit(states, oracle.reward(states))
    assert surrogate.cross_validation.r2 == pytest.approx(1.0, abs=1e-9)
    drawn = []
    for reward in (oracle.reward, surrogate):
        guide = sv.Target(reward, alpha=0.5)
        sampler = sv.svdd(oracle, sv.Target(oracle.reward, 0.5), sv.values.PosteriorMean(guide), 4)
        drawn.append(sampler.sample(8, generator=seeded("cpu", 1)).states)
    torch.testing.assert_close(drawn[0], drawn[1])


@pytest.mark.parametrize(
    "regressor",
    [
        BayesianRidge(),
        GaussianProcessRegressor(alpha=1.0),
        ExtraTreesRegressor(50, min_samples_leaf=3, random_state=0),
        LinearRegression(),
        NetworkRegressor(mlp, num_members=3, num_steps=100),
    ],
    ids=lambda each: type(each).__name__,
)
def test_new_rewards_are_within_one_deviation_as_often_as_normal_ones(regressor):
    """68.3 % of 2000, whatever the regressor says of itself: on the folds but for rounding, near it on what is new."""
    surrogate = Surrogate(lambda x: x, regressor).fit(*noisy(300, 0))
    assert surrogate.cross_validation.coverage() == pytest.approx(math.ceil(301 * 0.6827) / 300, abs=1 / 299)
    x, rewards = noisy(2000, 5)
    mean, std = surrogate.predict(x)
    inside = float(((rewards - mean).abs() <= std).double().mean())
    assert abs(inside - 0.683) < 4 * math.sqrt(0.683 * 0.317 * (1 / 2000 + 1 / 300))
    assert torch.equal(surrogate(x), mean)


def test_the_bound_is_the_mean_and_so_many_deviations():
    careful, x = Surrogate(lambda x: x, BayesianRidge(), beta=-2.0).fit(*noisy(100, 0)), noisy(5, 1)[0]
    mean, std = careful.predict(x)
    torch.testing.assert_close(careful(x), mean - 2 * std)
    assert bool((std > 0.5).all())


def test_the_scale_by_hand():
    """Of four errors in units of their deviations, 1, 2, 3 and 4: the ceil(5 · 0.683) = 4th; of nine the seventh."""
    assert conformal_scale(np.array([1.0, -4.0, 6.0, 8.0]), np.array([1.0, 2.0, 2.0, 2.0])) == 4.0
    assert conformal_scale(np.arange(9) + 1.0, np.ones(9)) == 7.0


def test_the_forbidden_counts_as_the_worst():
    x, rewards = noisy(40, 0)
    rewards[7] = -math.inf
    surrogate = Surrogate(lambda x: x, LinearRegression()).fit(x, rewards)
    assert surrogate.cross_validation.rewards[7] == float(rewards[rewards > -math.inf].min())


def test_what_is_foreseen_exactly_makes_nothing_sure_of_the_others():
    """Four fifths are forbidden, and one coordinate says so: a forest errs on none of them, and does on the others."""
    x, rewards = noisy(300, 0)
    dead = x[:, 0] < 0.85
    forest = RandomForestRegressor(30, min_samples_leaf=3, random_state=0)
    surrogate = Surrogate(lambda x: x, forest).fit(x, torch.where(dead, -math.inf, rewards))
    living = x[:, 0] > 1.2
    assert float(dead.double().mean()) > 0.75 and float(surrogate.predict(x[living])[1].mean()) > 0.3


def test_members_on_features_of_their_own_and_the_last_of_a_pipeline_say_how_unsure_they_are():
    x, rewards = noisy(80, 0)
    bagged = BaggingRegressor(LinearRegression(), 10, max_features=1, random_state=0)
    piped = make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=1.0))
    for regressor in (bagged, piped):
        stds = Surrogate(lambda x: x, regressor).fit(x, rewards).predict(x)[1]
        assert float(stds.std()) > 0.01 * float(stds.mean())


def test_what_is_said_of_a_state_does_not_depend_on_the_others():
    x, rewards = noisy(80, 0)
    surrogate = Surrogate(lambda x: x, NetworkRegressor(mlp, num_members=1, num_steps=20), beta=1.0).fit(x, rewards)
    torch.testing.assert_close(surrogate(x)[:1], surrogate(x[:1]))


def test_an_ensemble_is_unsure_where_it_has_seen_nothing_and_is_the_same_again():
    x = torch.linspace(-1, 1, 80, dtype=torch.float64)[:, None]
    x = x[(x[:, 0] < 0) | (x[:, 0] > 0.8)]
    one, other = (
        Surrogate(lambda x: x, NetworkRegressor(mlp, num_steps=200, learning_rate=1e-2)).fit(x, x[:, 0].cos())
        for _ in range(2)
    )
    far, near = torch.tensor([[3.0]]).double(), torch.tensor([[-0.5]]).double()
    assert float(one.predict(far)[1]) > 5 * float(one.predict(near)[1])
    assert torch.equal(one(x), other(x))


def test_rounds_reach_what_plain_samples_of_as_many_calls_do_not():
    """A chain of five states and six steps; the reward is of a one-hot of the end, so the surrogate can hold it. At
    once: rewards by hand, every state scored once, none twice."""
    chain = FiniteMarkovChain.random(num_states=30, num_steps=3, seed=0)
    calls = []

    def dear(x):
        calls.extend(x[:, 0].tolist())
        return chain.reward(x)

    target = sv.Target(dear, alpha=0.2)

    def features(x):
        return nn.functional.one_hot(x[:, 0], 30)

    def sampler(guide):
        return sv.best_of_n(chain, guide, 4)

    first = torch.arange(10)[:, None]
    rounds = refit_in_rounds(
        *(Surrogate(features, BayesianRidge(), beta=1.0, folds=2), target, sampler, first, chain.reward(first)),
        **dict(num_rounds=4, num_drawn=32, num_scored=3, generator=seeded("cpu", 0)),
    )
    assert len(calls) == len({*calls}) == rounds.table["scored"].tolist()[1:].count(3) * 3 == 12
    assert rounds.states[:, 0].tolist() == [*range(10), *calls]
    assert torch.equal(rounds.rewards, chain.reward(rounds.states))
    assert rounds.table["best so far"].is_monotonic_increasing and rounds.table["round"].tolist() == [0, 1, 2, 3, 4]
    assert rounds.table["best so far"].iloc[-1] == float(rounds.rewards.max())


def test_rounds_learn_where_the_guided_samples_are():
    """A reward that falls off around a point which no plain sample reaches: what is scored last, guided by what the
    rounds before have scored, is better than what is scored first, and on average than the best of as many plain ones.
    """
    oracle, generator = LinearGaussianChain.random(dim=2, num_steps=4, seed=0), seeded("cpu", 0)
    ends = sv.ancestral(oracle, oracle.target(1.0)).sample(2000, generator=seeded("cpu", 3)).draw()
    centre = ends.mean(dim=0) + 2 * ends.std(dim=0)

    def near(x):
        return -(x - centre).norm(dim=1)

    def sampler(guide):
        return sv.svdd(oracle, guide, sv.values.PosteriorMean(guide), 6)

    surrogate = Surrogate(lambda x: x, GaussianProcessRegressor(alpha=1e-4), folds=4)
    settings = dict(num_rounds=4, num_scored=8, generator=generator)
    rounds = refit_in_rounds(surrogate, sv.Target(near, 0.05), sampler, ends[:40], near(ends[:40]), **settings)
    first, last = rounds.rewards[40:48], rounds.rewards[64:]
    error = ((first.var() + last.var()) / 8).sqrt()
    assert float(last.mean() - first.mean()) > 4 * float(error)
    assert float(last.mean()) > float(near(ends[:72]).max())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Surrogate(3, LinearRegression()), TypeError, "features: expected a callable of states, got int"),
        (lambda: Surrogate(products, nn.Linear(2, 1)), TypeError, "regressor: expected one with fit and predict"),
        (lambda: Surrogate(products, LinearRegression(), folds=1), ValueError, "folds"),
        (lambda: Surrogate(products, LinearRegression())(torch.zeros(3, 2)), ValueError, "call fit"),
        (
            lambda: Surrogate(lambda x: x[:, 0], LinearRegression()).fit(*noisy(40, 0)),
            ValueError,
            r"features: expected shape \(40, d\), got \(40,\)",
        ),
        (lambda: Surrogate(lambda x: x / 0, LinearRegression()).fit(*noisy(40, 0)), ValueError, "finite numbers"),
        (lambda: Surrogate(products, LinearRegression()).fit(*noisy(19, 0)), ValueError, "at least 20, got 19"),
        (
            lambda: Surrogate(products, LinearRegression()).fit(torch.zeros(40, 2), torch.full((40,), math.nan)),
            ValueError,
            "rewards: expected numbers",
        ),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()
