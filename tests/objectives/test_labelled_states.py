"""Monte Carlo regression on the labels of single states: what it learns, and who refuses them."""

import itertools
import math

import pytest
import torch
from tensordict import TensorDict
from value_toys import Table, law_as_batch, tiny

import svlearn as sv
from svlearn.objectives import ContrastiveTwist, MonteCarloRegression, SoftQIteration
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import InMemoryData, label_candidates, label_survivors
from svlearn.values import Learned, PosteriorMean

ALPHA = 0.7


def objective_at(chain, table, estimand="mean", **options):
    objective = MonteCarloRegression(chain, chain.target(ALPHA), Learned(Table(3, 2)), estimand, **options)
    objective.value.network.table.data.copy_(table)
    return objective


def gradient(objective, rows):
    objective.value.network.table.grad = None
    objective.loss(rows, seeded("cpu", 0)).backward()
    return objective.value.network.table.grad.clone()


def labels_of(trajectories):
    """The states of trajectories before T, each labelled by its reward."""
    states = trajectories["states"][:, :2].flatten(0, 1)
    times, rewards = torch.arange(2).repeat(64), trajectories["rewards"].repeat_interleave(2)
    return TensorDict({"states": states, "times": times, "rewards": rewards}, batch_size=[128])


@pytest.mark.parametrize("estimand", ["mean", "soft"])
def test_states_labelled_by_their_rewards_teach_as_their_trajectories_do(estimand):
    chain = tiny(rewards=(1.0, -math.inf if estimand == "soft" else -2.0, -0.5))
    batch, table = law_as_batch(chain), torch.randn(2, 3, generator=seeded("cpu", 5)).double()
    one, other = (gradient(objective_at(chain, table, estimand), rows) for rows in (batch, labels_of(batch)))
    assert one.abs().max() > 0.01
    torch.testing.assert_close(one, other)


def test_losers_teach_the_value_that_judged_them_and_not_that_of_the_reference():
    chain = tiny()
    target = chain.target(ALPHA)
    sampler = sv.svdd(chain, target, PosteriorMean(target), 3)
    rows = label_candidates(sampler, sampler.sample_candidates(50, generator=seeded("cpu", 0)))
    point = torch.stack([chain.reward.table[probs.argmax(dim=1)] for probs in chain.clean_probs[:2]])
    assert torch.equal(gradient(objective_at(chain, point), rows), torch.zeros(2, 3).double())
    assert gradient(objective_at(chain, chain.mean_table()[:2]), rows).abs().max() > 0.01


def test_survivors_teach_the_soft_value_though_the_value_that_chose_was_another():
    chain = tiny()
    target = chain.target(ALPHA)
    sampler = sv.svdd(chain, target, PosteriorMean(target), 4)
    rows = label_survivors(sampler, sampler.sample_candidates(4000, generator=seeded("cpu", 0)), levels=None)
    data = InMemoryData(rows, batch_size=500)
    objective = MonteCarloRegression(chain, target, Learned(Table(3, 2)), "soft", learning_rate=5e-2)
    fit(objective, max_steps=300, data=data, enable_progress_bar=False)
    exact = chain.soft_table(ALPHA)[:2]
    for t, state in itertools.product(range(2), range(3)):
        own = (rows["rewards"] / ALPHA).exp()[(rows["times"] == t) & (rows["states"][:, 0] == state)]
        learned, error = objective.value.network.table[t, state], ALPHA * own.std() / own.mean() / math.sqrt(len(own))
        assert abs(learned - ALPHA * own.mean().log()) < 0.01 and abs(learned - exact[t, state]) < 4 * error + 0.01
    assert (chain.mean_table()[:2] - exact).abs().max() > 0.5


class HeldOut(InMemoryData):
    def val_dataloader(self):
        return self.train_dataloader()


def test_a_validation_on_labels_gives_their_loss_alone():
    import pytorch_lightning as pl

    chain, rows = tiny(), labels_of(law_as_batch(tiny()))
    objective = objective_at(chain, torch.zeros(2, 3).double())
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, datamodule=HeldOut(rows), verbose=False)
    assert logged["validation/loss"] > 0 and not any(name.startswith("validation/r2") for name in logged)


def test_labels_are_refused_where_a_trajectory_is_needed():
    chain, rows = tiny(), labels_of(law_as_batch(tiny()))
    target = chain.target(ALPHA)
    for family in (SoftQIteration, ContrastiveTwist):
        objective = family(chain, target, Learned(Table(3, 2)))
        with pytest.raises(ValueError, match=f"{family.__name__} learns from trajectories, got single states"):
            fit(objective, max_steps=1, data=InMemoryData(rows), enable_progress_bar=False)
    objective = objective_at(chain, torch.zeros(2, 3).double())
    objective.noised = True
    with pytest.raises(ValueError, match="noised: expected False for single states with labels"):
        objective.loss(rows, seeded("cpu", 0))
