"""Monte Carlo regression: its losses by hand, and what it learns against the exact values of the oracles."""

import math

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from value_toys import Table, markov

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.inference.samplers import svdd
from svlearn.objectives import MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.objectives.monte_carlo import linear_exponential_loss, squared_loss
from svlearn.randomness import seeded
from svlearn.rollouts import RolloutData, collect, roll_out
from svlearn.targets import Target
from svlearn.values import Learned, Zero

ALPHA = 2.0


def worst_r2(oracle, learned, exact):
    """The smallest R² over t of a learned value as a prediction of the exact one, on fresh states."""
    states = roll_out(oracle, 4000, generator=seeded("cpu", 99))["states"]
    scores = []
    for t in range(oracle.num_steps):
        times = torch.full((4000,), t)
        with torch.no_grad():
            truth, guess = exact(states[:, t], times), learned(states[:, t], times)
        scores.append(1 - ((guess - truth) ** 2).mean() / truth.var())
    return min(scores)


def test_losses_by_hand():
    values, rewards = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])
    assert squared_loss(values, rewards).tolist() == [4.0, 0.0]
    soft = linear_exponential_loss(values, rewards, alpha=2.0)
    assert soft.tolist() == pytest.approx([math.exp(1.0) + 0.5, 1.0 + 1.0])
    dead = linear_exponential_loss(torch.tensor([1.5]), torch.tensor([-math.inf]), alpha=0.5)
    assert dead.item() == pytest.approx(3.0)


def test_the_minimiser_of_the_linear_exponential_loss_is_the_soft_value():
    rewards, alpha = torch.tensor([1.0, 0.0, -math.inf, 2.0], dtype=torch.float64), 0.7
    soft = (alpha * (rewards / alpha).exp().mean().log()).requires_grad_()
    linear_exponential_loss(soft.expand(4), rewards, alpha).mean().backward()
    assert soft.grad.item() == pytest.approx(0.0, abs=1e-12)


def test_stored_rollouts_teach_as_fresh_ones_do(tmp_path):
    oracle, network = markov()
    collect(oracle, 4000, tmp_path / "rollouts", target=oracle.target(0.0), progress=False)
    objective = MonteCarloRegression(oracle, oracle.target(0.0), Learned(network), learning_rate=5e-2)
    data = RolloutData(tmp_path / "rollouts")
    fit(objective, max_steps=300, data=data, enable_progress_bar=False)
    assert worst_r2(oracle, objective.value, oracle.mean_value()) > 0.95


class Reversal(FiniteMarkovChain):
    """A chain with its exact forward process: p(x_t | x_T) by Bayes' rule."""

    def noise(self, x, t_from, t_to, *, generator=None):
        assert (t_from == self.num_steps).all()
        joint = self.marginals()[t_to] * self.clean_probs[t_to, :, x[:, 0]]
        return torch.multinomial(joint, 1, generator=generator)


@pytest.mark.slow
def test_noised_states_teach_as_those_of_the_trajectories_do():
    oracle, network = markov()
    oracle = Reversal(oracle.initial_probs, oracle.matrices, oracle.reward.table)
    objective = MonteCarloRegression(
        oracle, oracle.target(0.0), Learned(network), noised=True, learning_rate=2e-2, batch_size=256
    )
    fit(objective, max_steps=1500, enable_progress_bar=False)
    assert worst_r2(oracle, objective.value, oracle.mean_value()) > 0.99


def test_noising_needs_a_forward_process():
    oracle, network = markov()
    with pytest.raises(TypeError, match="noised: expected a reference with a forward process, got FiniteMarkovChain"):
        MonteCarloRegression(oracle, oracle.target(0.0), Learned(network), noised=True)


def test_learning_does_not_depend_on_the_units_of_the_reward():
    learned = []
    for unit in (1.0, 1000.0):
        oracle, network = markov()
        oracle = oracle.with_rewards(unit * oracle.reward.table)
        objective = MonteCarloRegression(oracle, oracle.target(0.0), Learned(network), learning_rate=1e-2)
        batch = roll_out(oracle, 256, target=oracle.target(0.0), generator=seeded("cpu", 0))
        network.table.data.fill_(unit)
        objective.loss(batch, seeded("cpu", 1)).backward()
        learned.append(network.table.grad * unit)
    torch.testing.assert_close(learned[0], learned[1])


def train(tmp_path, name, max_steps, seed=0, **kwargs):
    oracle, network = markov()
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), num_times=2, batch_size=32)
    fit(objective, max_steps=max_steps, seed=seed, enable_progress_bar=False, **kwargs)
    return objective


def test_the_same_seed_gives_the_same_bits(tmp_path):
    first, again, other = (train(tmp_path, "x", 20, seed=seed).value.network.table for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    keep = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=10, save_top_k=-1)
    whole = train(tmp_path, "whole", 30, callbacks=[keep], enable_checkpointing=True)
    (middle,) = tmp_path.glob("*step=10.ckpt")
    resumed = train(tmp_path, "resumed", 30, ckpt_path=str(middle))
    assert torch.equal(resumed.value.network.table, whole.value.network.table)
    held = torch.load(middle, weights_only=True)["state_dict"]
    assert not any(name.startswith("reference.") for name in held)


def test_a_checkpoint_of_another_reference_is_refused(tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint

    train(tmp_path, "x", 5, callbacks=[ModelCheckpoint(dirpath=tmp_path, save_last=True)], enable_checkpointing=True)
    other = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=1)
    objective = MonteCarloRegression(other, other.target(ALPHA), Learned(Table(5, 6)))
    with pytest.raises(ValueError, match="checkpoint: expected one of this reference"):
        fit(objective, max_steps=6, ckpt_path=str(tmp_path / "last.ckpt"), enable_progress_bar=False)


def test_validation_reports_pearson_and_r2_by_time_step():
    import pytorch_lightning as pl

    oracle, _ = markov()
    objective = MonteCarloRegression(oracle, oracle.target(0.0), Learned(Table(5, 6)), num_validation=2000)
    exact = oracle.mean_value().table[:6]
    objective.value.network.table.data.copy_(exact)
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    (logged,) = trainer.validate(objective, verbose=False)
    final = oracle.marginals()[-1]
    variance = final @ oracle.reward.table**2 - (final @ oracle.reward.table) ** 2
    for t in range(6):
        law = oracle.marginals()[t]
        explained = (law @ exact[t] ** 2 - (law @ exact[t]) ** 2) / variance
        assert logged[f"validation/r2_t{t:03d}"] == pytest.approx(explained.item(), abs=4 * 2 / math.sqrt(2000))
        correlation = math.sqrt(explained)
        assert logged[f"validation/pearson_t{t:03d}"] == pytest.approx(correlation, abs=4 / math.sqrt(2000))


def test_a_learned_value_guides():
    oracle, network = markov()
    target = oracle.target(0.0)
    objective = fit(
        MonteCarloRegression(oracle, target, Learned(network), learning_rate=5e-2),
        max_steps=200,
        enable_progress_bar=False,
    )

    def mean_reward(value, num_candidates):
        return svdd(oracle, target, value, num_candidates).sample(4000, generator=seeded("cpu", 1)).rewards.mean()

    guided, exact, plain = mean_reward(objective.value, 8), mean_reward(oracle.mean_value(), 8), mean_reward(Zero(), 1)
    error = 2 * oracle.reward.table.std() / math.sqrt(4000)
    assert exact > plain + 8 * error
    assert abs(guided - exact) < 4 * error


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(estimand="median"), ValueError, "estimand: expected one of mean, soft, got 'median'"),
        (dict(target="zero", estimand="soft"), ValueError, "the soft value needs alpha > 0"),
        (dict(value=Zero()), ValueError, "trainable parameters, got Zero"),
        (dict(value=Table(5, 6)), TypeError, "value: expected a Value, got Table"),
        (dict(num_times=7), ValueError, "num_times: expected None or 1 to 6, got 7"),
        (dict(learning_rate=-1.0), ValueError, "learning_rate"),
        (dict(batch_size=0), ValueError, "batch_size"),
        (dict(reference=nn.Linear(1, 1)), TypeError, "reference: expected a Reference, got Linear"),
        (dict(target=3), TypeError, "target: expected a Target, got int"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, words):
    oracle, network = markov()
    arguments = dict(reference=oracle, target=oracle.target(ALPHA), value=Learned(network)) | change
    if arguments["target"] == "zero":
        arguments["target"] = Target(oracle.reward, 0.0)
    with pytest.raises(error, match=words):
        MonteCarloRegression(**arguments)


def test_the_mean_of_a_reward_that_is_minus_infinity_is_refused():
    oracle, network = markov()
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network))
    batch = TensorDict(roll_out(oracle, 4, generator=seeded("cpu", 0)))
    batch["rewards"] = torch.tensor([0.0, -math.inf, 0.0, 1.0])
    with pytest.raises(ValueError, match="mean of a reward that is -inf"):
        objective.loss(batch, seeded("cpu", 0))
