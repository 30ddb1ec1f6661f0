"""Trajectories in memory: the loop, its laws, its counts."""

import math

import pytest
import torch
from rollout_toys import DECAY, Mixed, Walk, total

from svlearn import GaussianTransition, Prediction, Target
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.targets import NonFiniteError


def test_is_the_loop_written_by_hand():
    batch = roll_out(Walk(), 6, target=Target(total, alpha=1.0), generator=seeded("cpu", 3))
    by_hand, x = seeded("cpu", 3), None
    for t in range(5):
        noise = torch.randn(6, 3, generator=by_hand, dtype=torch.float64)
        x = noise if x is None else x + 0.5 * noise
        assert torch.equal(batch["states"][:, t], x)
    assert torch.equal(batch["rewards"], total(x))
    assert batch.batch_size == (6,)
    assert bool((batch["rewards"] == -math.inf).any()) and bool((batch["rewards"] > -math.inf).any())


def test_tensordict_states_are_indexed_by_time_as_tensors_are():
    batch = roll_out(Mixed(), 4, target=Target(lambda x: x["inner", "place"][:, 0], alpha=1.0))
    states = batch["states"]
    assert states.batch_size == (4, 4)
    assert states[:, 2].batch_size == (4,)
    assert states[:, 2]["words"].shape == (4, 5) and states["inner", "place"].shape == (4, 4, 2)
    assert torch.equal(batch["rewards"], states[:, 3]["inner", "place"][:, 0])


def test_without_a_target_there_are_no_rewards_and_no_gradients():
    walk = Walk()
    walk.step.requires_grad_()
    batch = roll_out(walk, 2)
    assert set(batch.keys()) == {"states"}
    assert not batch["states"].requires_grad


def test_variance_grows_by_the_square_of_the_step():
    size = 40_000
    states = roll_out(Walk(width=1), size, generator=seeded("cpu", 0))["states"].squeeze(-1)
    for t in range(5):
        variance = 1 + 0.25 * t
        assert abs(states[:, t].mean()) < 4.5 * math.sqrt(variance / size)
        assert abs(states[:, t].var() - variance) < 4.5 * variance * math.sqrt(2 / size)


def test_noising_has_the_marginals_of_an_ou_chain_and_ends_in_the_finished_states():
    size = 40_000
    finished = torch.full((size, 1), 2.0, dtype=torch.float64)
    states = roll_back(Walk(width=1), finished, generator=seeded("cpu", 1))["states"].squeeze(-1)
    assert torch.equal(states[:, 4:], finished)
    for t in range(4):
        decay = DECAY ** (4 - t)
        variance = 1 - decay**2
        assert abs(states[:, t].mean() - 2 * decay) < 4.5 * math.sqrt(variance / size)
        assert abs(states[:, t].var() - variance) < 4.5 * variance * math.sqrt(2 / size)
    # a chain, not independent draws: Cov(x_1, x_3) = DECAY² Var(x_3)
    own, later = 1 - DECAY**6, 1 - DECAY**2
    covariance = torch.cov(states[:, [1, 3]].T)[0, 1]
    assert abs(covariance - DECAY**2 * later) < 4.5 * math.sqrt((own * later + (DECAY**2 * later) ** 2) / size)


def test_noising_steps_from_each_time_to_the_one_before():
    steps = []

    class Recorded(Walk):
        def noise(self, x, t_from, t_to, *, generator=None):
            steps.append((t_from.tolist(), t_to.tolist()))
            return super().noise(x, t_from, t_to, generator=generator)

    batch = roll_back(Recorded(), torch.ones(2, 3, dtype=torch.float64), target=Target(total, alpha=1.0))
    assert steps == [([t, t], [t - 1, t - 1]) for t in (4, 3, 2, 1)]
    assert batch["rewards"].tolist() == [3.0, 3.0]


def test_noising_keeps_tensordict_states():
    finished = roll_out(Mixed(), 3)["states"][:, -1]
    states = roll_back(Mixed(), finished)["states"]
    assert states.batch_size == (3, 4)
    assert bool((states[:, 3] == finished).all())


def test_a_process_without_noise_is_refused():
    class Plain(Walk):
        noise = Walk.__mro__[1].noise

    with pytest.raises(TypeError, match="Plain without noise"):
        roll_back(Plain(), torch.zeros(2, 3, dtype=torch.float64))


def test_calls_are_counted_once_a_state_and_cut_by_max_batch():
    sizes = []

    class Counting(Walk):
        def forward(self, x, t, previous=None):
            sizes.append(len(x))
            return super().forward(x, t, previous)

    with metered(max_batch=3) as meter:
        cut = roll_out(Counting(), 7, target=Target(total, alpha=1.0), generator=seeded("cpu", 0))
    assert (meter.cost.reference_calls, meter.cost.reward_calls, meter.cost.policy_calls) == (28, 7, 0)
    assert sizes == [3, 3, 1] * 4
    assert torch.equal(cut["states"], roll_out(Walk(), 7, generator=seeded("cpu", 0))["states"])
    with metered() as meter:
        roll_out(Walk(), 7, kind="policy_calls")
    assert (meter.cost.reference_calls, meter.cost.policy_calls) == (0, 28)


def test_the_cache_of_one_step_reaches_the_next():
    class Cached(Walk):
        def forward(self, x, t, previous=None):
            age = torch.zeros(len(x)) if previous is None else previous.cache + 1
            assert age.tolist() == t.tolist()
            return Prediction(transition=GaussianTransition(x, self.step), cache=age)

    assert roll_out(Cached(), 2)["states"].shape == (2, 5, 3)


def test_a_condition_reaches_the_start():
    condition = torch.full((2, 3), 1e3, dtype=torch.float64)
    assert bool((roll_out(Walk(), 2, condition=condition)["states"] > 900).all())
    with pytest.raises(ValueError, match="condition: expected 5 rows.*got 2"):
        roll_out(Walk(), 5, condition=condition)


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_wrong_batch_size_is_refused(size):
    with pytest.raises(ValueError, match="batch_size"):
        roll_out(Walk(), size)


def test_a_nan_reward_is_refused():
    target = Target(lambda x: torch.tensor([0.0, math.nan]), alpha=1.0)
    with pytest.raises(ValueError, match="reward.*nan at index 1"):
        roll_out(Walk(), 2, target=target)
    with pytest.raises(ValueError, match="reward.*nan at index 1"):
        roll_back(Walk(), torch.zeros(2, 3, dtype=torch.float64), target=target)


class Broken(Walk):
    """NaN in the last coordinate of row 2 from step 3 on, of rows 0 and 2 at step 4."""

    def forward(self, x, t, previous=None):
        law = GaussianTransition(x.clone(), self.step)
        if t[0] >= 2:
            law.mean[2 if t[0] == 2 else 0, -1] = math.nan
        return Prediction(transition=law)

    def noise(self, x, t_from, t_to, *, generator=None):
        x = x.clone()
        if t_to[0] <= 1:
            x[1] = math.nan
        return x


def blind(x):
    """A reward that a NaN does not show in."""
    return (x[:, -1] > 0.5).double()


@pytest.mark.parametrize("target", [None, Target(blind, alpha=1.0)])
def test_a_state_with_a_nan_is_refused_with_the_first_step_and_row_that_has_one(target):
    with pytest.raises(NonFiniteError, match="^state: expected numbers at step 3, got NaN at index 2$") as raised:
        roll_out(Broken(), 4, target=target)
    assert raised.value.trajectories["states"].isnan().any(dim=2).nonzero().tolist() == [[0, 4], [2, 3], [2, 4]]
    with pytest.raises(NonFiniteError, match="^state: expected numbers at step 1, got NaN at index 1$"):
        roll_back(Broken(), torch.zeros(2, 3, dtype=torch.float64), target=target)
    finished = torch.tensor([[0.0], [math.nan]])
    with pytest.raises(NonFiniteError, match="^state: expected numbers at step 4, got NaN at index 1$"):
        roll_back(Walk(), finished, target=target)


def test_a_nan_in_one_leaf_of_a_state_is_found():
    class Lost(Mixed):
        def forward(self, x, t, previous=None):
            return Prediction(transition=self._law(x["inner", "place"] * (math.nan if t[0] == 1 else 1.0)))

    with pytest.raises(NonFiniteError, match="^state: expected numbers at step 2, got NaN at index 0$"):
        roll_out(Lost(), 3)


def test_infinite_places_may_be_a_mask():
    class Masked(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            x = super().initial(batch_size, generator=generator)
            x[:, 0], x[:, 1] = math.inf, -math.inf
            return x

    states = roll_out(Masked(), 2)["states"]
    assert bool(states[..., 0].isposinf().all()) and bool(states[..., 2].isfinite().all())


def test_states_without_dimensions_are_checked_too():
    class Single(Walk):
        def initial(self, batch_size, *, condition=None, generator=None):
            return torch.tensor([0.0, math.nan, 0.0])

        def forward(self, x, t, previous=None):
            return Prediction(transition=GaussianTransition(x, torch.ones(())))

    with pytest.raises(NonFiniteError, match="^state: expected numbers at step 0, got NaN at index 1$"):
        roll_out(Single(), 3)
