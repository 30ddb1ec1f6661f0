"""Value against reward on a random walk, where the correlation is known: corr(x_t, x_T) = √(t/T)."""

import math
import warnings

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.metering import metered
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero
from svlearn.values.calibration import COLUMNS, agreement, calibrate

N = 20_000


@pytest.fixture
def trajectories():
    steps = torch.randn(N, 4, 1, generator=seeded("cpu", 3), dtype=torch.float64)
    states = torch.cat([torch.zeros(N, 1, 1, dtype=torch.float64), steps.cumsum(dim=1)], dim=1)
    return TensorDict({"states": states, "rewards": states[:, -1, 0]}, batch_size=[N])


def test_three_points_by_hand():
    # deviations (-1, 0, 1) and (-2, 1, 1): r = 3 / √12; residuals (-1, 1, 0): R² = 1 - 2/6; stds √1 and √3
    figures = agreement(torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.0, 3.0, 3.0]).double())
    assert figures == pytest.approx((3 / math.sqrt(12), 1 - 2 / 6, 2 / 3, 2 / 3, 0.0, 1 / math.sqrt(3)), rel=1e-12)
    shifted = agreement(torch.tensor([2.0, 3.0, 4.0]).double(), torch.tensor([0.0, 3.0, 3.0]).double())
    assert shifted == pytest.approx((3 / math.sqrt(12), 1 - 5 / 6, 1.0, 5 / 3, 1.0, 1 / math.sqrt(3)), rel=1e-12)


def test_a_soft_value_by_hand():
    # twists at α = 2: 1, e, e² over their mean; rewards 0, e^1.5, e^1.5 over theirs; bias 2 log of the means' ratio
    class Third(nn.Module):
        def forward(self, x, t):
            return x.squeeze(1)

    class OneStep(Reference):
        num_steps = 1

        def initial(self, batch_size, *, condition=None, generator=None):
            raise NotImplementedError

        def forward(self, x, t, previous=None):
            raise NotImplementedError

    states = torch.tensor([0.0, 2.0, 4.0]).double()[:, None, None].expand(3, 2, 1)
    rewards = torch.tensor([-math.inf, 3.0, 3.0]).double()
    few = TensorDict({"states": states, "rewards": rewards}, [3])
    row = calibrate(Learned(Third()), OneStep(), few, alpha=2.0).iloc[0]
    one, other = torch.tensor([1, math.e, math.e**2]), torch.tensor([0, math.exp(1.5), math.exp(1.5)])
    expected = agreement((one / one.mean()).double(), (other / other.mean()).double())
    for place, name in enumerate(COLUMNS[1:]):
        if name != "bias":
            assert row[name] == pytest.approx(expected[place], rel=1e-6)
    assert row["bias"] == pytest.approx(2 * math.log(one.mean() / other.mean()), rel=1e-6)
    with pytest.raises(ValueError, match="alpha: expected None or a number above 0, got 0"):
        calibrate(Learned(Third()), OneStep(), few, alpha=0)


def test_random_walk(walk, value, trajectories):
    table = calibrate(value, walk, trajectories)
    assert list(table.columns) == COLUMNS
    assert table["t"].tolist() == [0, 1, 2, 3]
    assert math.isnan(table["pearson"][0])
    for t in (1, 2, 3):
        rho = math.sqrt(t / 4)
        assert table["pearson"][t] == pytest.approx(rho, abs=4 * (1 - rho**2) / math.sqrt(N))
        assert table["r2"][t] == pytest.approx(rho**2, abs=4 * 2 * rho * (1 - rho**2) / math.sqrt(N))
        absolute = math.sqrt(2 * (4 - t) / math.pi)
        error = math.sqrt((4 - t) * (1 - 2 / math.pi) / N)
        assert table["mean_absolute_error"][t] == pytest.approx(absolute, abs=4 * error)
        assert table["mean_squared_error"][t] == pytest.approx(4 - t, abs=4 * math.sqrt(2 / N) * (4 - t))
        assert table["bias"][t] == pytest.approx(0, abs=4 * math.sqrt((4 - t) / N))
        assert table["spread"][t] == pytest.approx(rho, abs=4 * rho * math.sqrt((1 - rho**2) / N))


@pytest.mark.parametrize("kind", ["markov", "gaussian"])
def test_exact_values_are_calibrated_each_in_its_own_sense(kind):
    """spread = pearson and no bias: of v' as it is, of v at its α; and a soft value is no mean value."""
    oracle = FiniteMarkovChain.random(5, 5, seed=1) if kind == "markov" else LinearGaussianChain.random(2, 5, seed=1)
    alpha = 1.5
    trajectories = roll_out(oracle, N, target=oracle.target(alpha), generator=seeded("cpu", 2))
    scale = math.sqrt(trajectories["rewards"].var())
    mean = calibrate(oracle.mean_value(), oracle, trajectories)
    soft = calibrate(oracle.soft_value(alpha), oracle, trajectories, alpha=alpha)
    wrong = calibrate(oracle.soft_value(alpha), oracle, trajectories)
    for table, unit in ((mean, scale), (soft, 3 * scale)):  # the means of exp(r/α) are worse known
        assert (table["bias"].abs() < 4 * unit / math.sqrt(N)).all()
        assert ((table["spread"] - table["pearson"]).abs() < 4 * 2 / math.sqrt(N)).all()
    assert (wrong["bias"] > 0.05 * scale).any()


def test_correlation_is_blind_to_scale_and_r2_is_not(walk, trajectories):
    class Small(nn.Module):
        def forward(self, x, t):
            return 3.0 + 1e-9 * x.squeeze(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = calibrate(Learned(Small()), walk, trajectories)
    assert table["pearson"][3] == pytest.approx(math.sqrt(3 / 4), abs=4 * 0.25 / math.sqrt(N))
    assert table["r2"][3] == pytest.approx(-9 / 4, abs=0.1)


def test_a_value_of_the_prediction_gets_it(walk, target, value, trajectories):
    with metered() as meter:
        table = calibrate(PosteriorMean(target), walk, trajectories, max_batch=7000)
    assert meter.cost.reference_calls == 4 * N
    expected = calibrate(value, walk, trajectories)
    assert table.equals(expected)


def test_a_random_value_takes_the_generator(walk, target, trajectories):
    few = trajectories[:500]
    value = MonteCarlo(walk, target, 4, "mean")
    one, again, other = (calibrate(value, walk, few, generator=seeded("cpu", seed)) for seed in (1, 1, 2))
    assert one.equals(again) and not one.equals(other)


def test_constant_value_and_constant_reward_without_warnings(walk, value, trajectories):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flat = calibrate(Zero(), walk, trajectories)
        same = calibrate(value, walk, trajectories, rewards=torch.ones(N))
    assert flat["pearson"].isna().all() and flat["r2"].notna().all()
    assert (flat["spread"] == 0).all() and (flat["bias"].abs() < 0.1).all()
    assert same[["pearson", "r2", "spread"]].isna().all(axis=None) and same["mean_absolute_error"].notna().all()


def test_rewards_of_minus_infinity_are_left_out(walk, value, trajectories):
    rewards = trajectories["rewards"].clone()
    rewards[: N // 2] = -math.inf
    half = calibrate(value, walk, trajectories[N // 2 :])
    assert calibrate(value, walk, trajectories, rewards=rewards).equals(half)


def test_graph_states_and_bad_shapes(walk, value, trajectories):
    short = TensorDict({"states": trajectories["states"][:, 1:], "rewards": trajectories["rewards"]}, [N])
    with pytest.raises(ValueError, match=r"states'\]: expected \(N, 5, ...\), got \(20000, 4, 1\)"):
        calibrate(value, walk, short)
    with pytest.raises(ValueError, match="rewards: expected shape"):
        calibrate(value, walk, trajectories, rewards=torch.zeros(3))
    with pytest.raises(ValueError, match="at least 2 finite ones, got 0"):
        calibrate(value, walk, trajectories, rewards=torch.full((N,), -math.inf))

    class OfDict(nn.Module):
        def forward(self, x, t):
            return x["x"].squeeze(1)

    nested = TensorDict({"x": trajectories["states"]}, batch_size=[N, 5])
    dictionary = TensorDict({"states": nested, "rewards": trajectories["rewards"]}, batch_size=[N])
    assert calibrate(Learned(OfDict()), walk, dictionary).equals(calibrate(value, walk, trajectories))
