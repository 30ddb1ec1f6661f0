"""Soft-Q iteration: its expected gradient by enumeration, its slow copy, and what it learns on the oracles."""

import itertools
import math

import pytest
import torch
from value_toys import Table, law_as_batch, tiny

from svlearn.metering import metered
from svlearn.objectives.fit import fit
from svlearn.objectives.soft_q import SoftQIteration, backup
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Learned, Zero

ALPHA, INF = 2.0, math.inf


def objective_at(chain, table, slow, estimand="soft", **options):
    """An objective whose value and slow copy are the given tables (2, 3)."""
    objective = SoftQIteration(chain, chain.target(ALPHA), Learned(Table(3, 2)), estimand, **options)
    objective.value.network.table.data.copy_(table)
    objective.slow.network.table.copy_(slow)
    return objective


def gradient(objective, batch, seed=0):
    objective.value.network.table.grad = None
    objective.loss(batch, seeded("cpu", seed)).backward()
    return objective.value.network.table.grad.clone()


def random_tables():
    drawn = torch.randn(2, 2, 3, generator=seeded("cpu", 5), dtype=torch.float64)
    return drawn[0], drawn[1]


def test_the_backup_by_hand():
    values = torch.tensor([[2.0, -INF], [1.0, 1.0]])
    expected = [2.0 - 2.0 * math.log(2.0), 1.0]
    assert backup(values, 2.0).tolist() == pytest.approx(expected)
    assert torch.equal(backup(values[:, :1], 2.0), values[:, 0].double())


def test_the_expected_soft_gradient_is_exact_with_a_single_next_state():
    chain, (table, slow) = tiny(rewards=(1.0, -INF, -0.5)), random_tables()
    slope = gradient(objective_at(chain, table, slow), law_as_batch(chain))
    ahead = torch.stack([slow[1], chain.reward.table])
    exact = ALPHA * (chain.matrices @ (ahead / ALPHA).exp()[:, :, None]).squeeze(2).log()
    expected = chain.marginals()[:2] * (1 - ((exact - table) / ALPHA).exp()) / ALPHA / 2
    torch.testing.assert_close(slope, expected)


def test_the_rewards_of_the_trajectories_are_not_asked_for_again():
    chain, (table, slow) = tiny(), random_tables()
    with metered() as meter:
        objective_at(chain, table, slow).loss(law_as_batch(chain), seeded("cpu", 0))
    assert meter.cost.reward_calls == 0 and meter.cost.reference_calls == 0


def test_the_expected_mean_gradient_is_exact():
    chain, (table, slow) = tiny(), random_tables()
    slope = gradient(objective_at(chain, table, slow, "mean"), law_as_batch(chain))
    ahead = torch.stack([slow[1], chain.reward.table])
    exact = (chain.matrices @ ahead[:, :, None]).squeeze(2)
    law, rewards = chain.marginals(), chain.reward.table
    variance = law[2] @ rewards**2 - (law[2] @ rewards) ** 2
    torch.testing.assert_close(slope, law[:2] * (table - exact) / variance)


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_the_exact_value_is_the_fixed_point(estimand):
    chain = tiny(rewards=(1.0, -INF if estimand == "soft" else -2.0, -0.5))
    exact = (chain.soft_table(ALPHA) if estimand == "soft" else chain.mean_table())[:2]
    slope = gradient(objective_at(chain, exact, exact, estimand), law_as_batch(chain))
    torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("num_next", [1, 2])
def test_a_backup_over_k_fresh_next_states_has_its_enumerated_bias(num_next):
    alpha, chain, (table, slow) = 0.5, tiny(), random_tables()
    objective = SoftQIteration(chain, chain.target(alpha), Learned(Table(3, 2)), num_next=num_next)
    objective.value.network.table.data.copy_(table)
    objective.slow.network.table.copy_(slow)
    ahead = torch.stack([slow[1], chain.reward.table])
    biased = torch.zeros(2, 3).double()
    for places in itertools.product(range(3), repeat=num_next):
        likely = chain.matrices[:, :, places].prod(dim=2)
        biased += likely * alpha * (ahead[:, None, places] / alpha).exp().mean(dim=2).log()
    mean = (chain.matrices @ ahead[:, :, None]).squeeze(2)
    soft = alpha * (chain.matrices @ (ahead / alpha).exp()[:, :, None]).squeeze(2).log()
    if num_next == 1:
        torch.testing.assert_close(biased, mean)

    batch, law = law_as_batch(chain), chain.marginals()[:2]
    goals = torch.stack([gradient(objective, batch, seed) for seed in range(200)])
    goals = table - goals * objective.reward_variance / law  # the goal: the gradient is law · (f - goal) / variance
    error = goals.std(dim=0) / math.sqrt(200)
    assert bool(((goals.mean(dim=0) - biased).abs() < 4 * error).all())
    assert bool(((soft - biased) > 8 * error).any())


def test_a_backup_without_a_living_next_state_is_raised_to_the_floor():
    chain = tiny(rewards=(-INF, -INF, -INF))
    zero = torch.zeros(2, 3).double()
    objective = objective_at(chain, zero, zero, num_next=2)
    batch = law_as_batch(chain)
    slope = gradient(objective, batch)
    floor = chain.target(ALPHA).floor
    torch.testing.assert_close(slope[1], -chain.marginals()[1] * floor)
    assert objective.reward_variance == 1


def test_the_slow_copy_follows_and_is_not_trained():
    chain = tiny()
    objective = SoftQIteration(chain, chain.target(ALPHA), Learned(Table(3, 2)), decay=0.75)
    fit(objective, max_steps=1, enable_progress_bar=False)
    moved, slow = objective.value.network.table, objective.slow.network.table
    assert moved[1].abs().min() > 0 and not slow.requires_grad  # at t = 0 no news has come yet
    torch.testing.assert_close(slow, 0.25 * moved.detach())
    objective.value.network.register_buffer("flag", torch.ones(1))
    objective.slow.network.register_buffer("flag", torch.zeros(1))
    objective.follow()
    torch.testing.assert_close(slow, (0.75 * 0.25 + 0.25) * moved.detach())
    assert objective.slow.network.flag == 1


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    def train(max_steps, **kwargs):
        chain = tiny()
        objective = SoftQIteration(chain, chain.target(ALPHA), Learned(Table(3, 2)), num_next=2, batch_size=16)
        return fit(objective, max_steps=max_steps, enable_progress_bar=False, **kwargs)

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=10, save_top_k=-1)
    whole = train(20, callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=10.ckpt")
    resumed = train(20, ckpt_path=str(middle))
    assert torch.equal(resumed.value.network.table, whole.value.network.table)
    assert torch.equal(resumed.slow.network.table, whole.slow.network.table)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(estimand="median"), "estimand: expected one of mean, soft, got 'median'"),
        (dict(alpha=0.0), "the soft value needs alpha > 0"),
        (dict(decay=1.0), r"decay: expected a number in \[0, 1\), got 1.0"),
        (dict(num_next=0), "num_next: expected None or an integer of at least 1, got 0"),
        (dict(value=Zero()), "trainable parameters, got Zero"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, words):
    chain = tiny()
    options = dict(value=Learned(Table(3, 2))) | change
    target = Target(chain.reward, options.pop("alpha", ALPHA))
    with pytest.raises(ValueError, match=words):
        SoftQIteration(chain, target, **options)


@pytest.mark.parametrize("num_next", [None, 2])
def test_the_mean_of_a_reward_that_is_minus_infinity_is_refused(num_next):
    chain = tiny(rewards=(1.0, -INF, -0.5))
    zero = torch.zeros(2, 3).double()
    objective = objective_at(chain, zero, zero, "mean", num_next=num_next)
    with pytest.raises(ValueError, match="mean of a reward that is -inf"):
        objective.loss(law_as_batch(chain), seeded("cpu", 0))
