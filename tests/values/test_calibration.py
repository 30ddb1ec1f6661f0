"""Value against reward on a random walk, where the correlation is known: corr(x_t, x_T) = √(t/T)."""

import math
import warnings

import pytest
import torch
from tensordict import TensorDict
from torch import nn

from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero
from svlearn.values.calibration import agreement, calibrate

N = 20_000


@pytest.fixture
def trajectories():
    steps = torch.randn(N, 4, 1, generator=seeded("cpu", 3), dtype=torch.float64)
    states = torch.cat([torch.zeros(N, 1, 1, dtype=torch.float64), steps.cumsum(dim=1)], dim=1)
    return TensorDict({"states": states, "rewards": states[:, -1, 0]}, batch_size=[N])


def test_three_points_by_hand():
    # deviations (-1, 0, 1) and (-2, 1, 1): r = 3 / √12; residuals (-1, 1, 0): R² = 1 - 2/6
    found = agreement(torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([0.0, 3.0, 3.0]).double())
    assert found == pytest.approx((3 / math.sqrt(12), 1 - 2 / 6, 2 / 3), rel=1e-12)


def test_random_walk(walk, value, trajectories):
    table = calibrate(value, walk, trajectories)
    assert list(table.columns) == ["t", "pearson", "r2", "mean_absolute_error"]
    assert table["t"].tolist() == [0, 1, 2, 3]
    assert math.isnan(table["pearson"][0])
    for t in (1, 2, 3):
        rho = math.sqrt(t / 4)
        assert table["pearson"][t] == pytest.approx(rho, abs=4 * (1 - rho**2) / math.sqrt(N))
        assert table["r2"][t] == pytest.approx(rho**2, abs=4 * 2 * rho * (1 - rho**2) / math.sqrt(N))
        absolute = math.sqrt(2 * (4 - t) / math.pi)
        error = math.sqrt((4 - t) * (1 - 2 / math.pi) / N)
        assert table["mean_absolute_error"][t] == pytest.approx(absolute, abs=4 * error)


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
    assert same[["pearson", "r2"]].isna().all(axis=None) and same["mean_absolute_error"].notna().all()


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
