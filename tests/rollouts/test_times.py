"""Stores of some times of each trajectory: the same trajectories, at drawn times that are uniform, for a regression."""

import pytest
import torch
from rollout_toys import TARGET, Mixed, Walk
from torch import nn

from svlearn import Target, objectives
from svlearn.cli.collect import collect as command
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, Rollouts, collect, held_out, roll_out
from svlearn.targets import NonFiniteError
from svlearn.values import Learned


def tiny():
    return FiniteMarkovChain.random(3, 2, seed=0)


class Table(nn.Module):
    """One free number for each time and state."""

    def __init__(self, num_states, num_steps):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_steps, num_states, dtype=torch.float64))

    def forward(self, x, t):
        return self.table[t, x[:, 0]]


def test_the_states_are_those_of_the_whole_trajectories(tmp_path):
    some = collect(Walk(), 11, tmp_path / "some", target=TARGET, batch_size=4, seed=3, times=2, progress=False)
    whole = collect(Walk(), 11, tmp_path / "whole", target=TARGET, batch_size=4, seed=3, progress=False)
    times = some.data["times"]
    assert times.shape == (11, 2) and some.states.shape == (11, 2, 3)
    assert bool((times[:, 0] < times[:, 1]).all()) and int(times.max()) < Walk().num_steps
    assert torch.equal(some.states, whole.states[torch.arange(11)[:, None], times])
    assert torch.equal(some.rewards, whole.rewards)
    assert sum(file.stat().st_size for file in (tmp_path / "some" / "data").glob("states*")) == 11 * 2 * 3 * 8


def test_states_of_several_leaves_at_given_times(tmp_path):
    some = collect(Mixed(), 5, tmp_path / "some", batch_size=2, times=[2, 0], progress=False)
    whole = collect(Mixed(), 5, tmp_path / "whole", batch_size=2, progress=False)
    assert some.data["times"].tolist() == [[0, 2]] * 5
    assert bool((some.states == whole.states[:, [0, 2]]).all())


def test_each_time_is_as_likely_and_none_comes_twice(tmp_path):
    rollouts = collect(Walk(width=1), 4000, tmp_path, batch_size=1000, times=2, progress=False)
    counts = torch.bincount(rollouts.data["times"].flatten(), minlength=4) / 4000
    assert float((counts - 0.5).abs().max()) < 4 * 0.5 / 4000**0.5  # each t is kept with probability 2/4
    assert bool((rollouts.data["times"][:, 0] != rollouts.data["times"][:, 1]).all())


def test_a_regression_learns_the_exact_mean_value_from_them(tmp_path):
    chain = tiny()
    target = chain.target(1.0)
    collect(chain, 20_000, tmp_path, target=target, batch_size=5000, times=1, seed=1, progress=False)
    value = Learned(Table(3, chain.num_steps))
    objective = objectives.MonteCarloRegression(chain, target, value, learning_rate=0.05)
    data = RolloutData(tmp_path, batch_size=18_000)
    fit(objective, max_steps=150, data=data, limit_val_batches=1)
    drawn = Rollouts.open(tmp_path)
    for t in range(chain.num_steps):
        states = torch.arange(3)[:, None]
        exact = chain.mean_value()(states, torch.full((3,), t))
        own = (drawn.data["times"][:, 0] == t).sum() / 3
        error = float(drawn.rewards.std()) / float(own) ** 0.5
        learned = value(states, torch.full((3,), t)).detach()
        seen = [bool((drawn.states[:, 0, 0][drawn.data["times"][:, 0] == t] == x).any()) for x in range(3)]
        assert float((learned - exact)[seen].abs().max()) < 6 * error


def test_what_cannot_use_them_says_so(tmp_path):
    chain = tiny()
    collect(chain, 40, tmp_path, target=chain.target(1.0), times=1, progress=False)
    objective = objectives.SoftQIteration(chain, chain.target(1.0), Learned(Table(3, chain.num_steps)))
    with pytest.raises(ValueError, match="SoftQIteration learns from trajectories, got single states"):
        fit(objective, max_steps=1, data=RolloutData(tmp_path, batch_size=8))
    with pytest.raises(ValueError, match=r"expected whole trajectories, got some times of each \(times = 1\)"):
        held_out(tmp_path)


def test_a_store_of_another_layout_is_refused(tmp_path):
    collect(Walk(), 6, tmp_path, times=2, progress=False)
    for times in (None, 3, [0, 1]):
        with pytest.raises(ValueError, match="holds rollouts of other arguments: expected times = 2, got"):
            collect(Walk(), 6, tmp_path, times=times, progress=False)
    command(Walk(), 6, tmp_path, times=2)  # the same: nothing to draw


@pytest.mark.parametrize("times", [0, 5, [], [4], [1, 1], -1, "2"])
def test_times_out_of_range_are_refused(tmp_path, times):
    with pytest.raises((ValueError, TypeError), match="times: expected"):
        collect(Walk(), 6, tmp_path / "new", times=times, progress=False)
    assert not (tmp_path / "new").exists()


def test_no_weights_of_a_proposal_are_lost(tmp_path):
    with pytest.raises(ValueError, match="times: expected None beside a proposal"):
        collect(Walk(), 6, tmp_path / "new", times=2, proposal=Walk(step=0.7), progress=False)
    with pytest.raises(ValueError, match=r"times: expected None, or times \(4, n\) without a proposal, got those"):
        roll_out(Walk(), 4, times=torch.zeros(3, 2, dtype=torch.long))


def test_a_nan_is_named_with_its_step():
    class Lost(Walk):
        def forward(self, x, t, previous=None):
            return super().forward(torch.where(t[:, None] == 1, torch.nan, x), t)

    times = torch.tensor([[0, 1], [0, 3], [2, 3]])
    with pytest.raises(NonFiniteError, match="expected numbers at step 2, got NaN at index 2"):
        roll_out(Lost(), 3, generator=seeded("cpu", 0), times=times)
    reward = Target(lambda x: x[:, 0], alpha=1.0)
    with pytest.raises(NonFiniteError, match="at step T, got NaN at index 0"):  # where no kept state has one, x_T has
        roll_out(Lost(), 3, generator=seeded("cpu", 0), times=times[:, :1] * 0, target=reward)


@pytest.mark.parametrize("times", [[[0, 9], [1, -1]], [[0.0, 1.0], [1.0, 2.0]]])
def test_a_rollout_refuses_times_that_no_state_has(times):
    chain = FiniteMarkovChain.random(3, 3, seed=0)
    with pytest.raises(ValueError, match=r"times: expected whole numbers of 0 ... 2, long, got torch"):
        roll_out(chain, 2, times=torch.tensor(times))
