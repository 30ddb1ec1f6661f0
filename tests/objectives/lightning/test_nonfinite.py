"""The guard: what is not finite stops the training at its step, is named, and leaves a batch that can be read."""

import json
import math
import re

import pytest
import torch
from safetensors.torch import save_file
from tensordict import TensorDict
from torch import nn
from value_toys import Table, markov

from svlearn.checkpoints import read_record
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    DistributionalPolicyGradient,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    SoftQIteration,
    StochasticControl,
)
from svlearn.objectives.fit import fit
from svlearn.objectives.lightning.nonfinite import load_batch, save_batch
from svlearn.policies import Controlled, Policy
from svlearn.randomness import seeded
from svlearn.targets import NonFiniteError, Target
from svlearn.transitions import CategoricalTransition
from svlearn.values import Learned

ALPHA = 2.0
BATCH = 16


class Breaking(nn.Module):
    """The table of a Markov chain, times `factor` from the fourth call with a gradient on, and in the slow copy too."""

    def __init__(self, factor=math.nan, backward=False):
        super().__init__()
        self.inner, self.factor, self.backward, self.calls = Table(5, 6), factor, backward, 0

    def forward(self, x, t):
        values = self.inner(x, t)
        if not torch.is_grad_enabled():
            return values
        self.calls += 1
        if self.calls <= 3:
            return values
        if self.backward:  # sqrt(0) is 0, its gradient is not finite
            return values + (0 * values).sqrt()
        return self.factor * (1 + values)


class Tilted(Policy):
    """A Markov chain whose transition is tilted by a `Breaking` function of x_t at its second token."""

    def __init__(self, chain, network):
        super().__init__(chain)
        self.network = network

    def steer(self, prediction, x, t):
        tilt = torch.zeros_like(prediction.transition.log_probs)
        tilt[:, 0, 1] = 1.0
        return CategoricalTransition(prediction.transition.log_probs + tilt * self.network(x, t)[:, None, None])

    def trained(self):
        return self.network.parameters()


def stopped(objective, folder):
    """The error that training ends with, the record of its file, and the batch in it."""
    with pytest.raises(NonFiniteError) as caught:
        fit(objective, max_steps=10, default_root_dir=folder, enable_progress_bar=False)
    (path,) = folder.glob("*.safetensors")
    assert isinstance(caught.value, FloatingPointError) and str(path) in str(caught.value)
    record = read_record(path)
    assert record["objective"] == type(objective).__name__
    assert f"training step {record['step']} of {record['objective']}: {record['reason']}" in str(caught.value)
    return record, load_batch(path)


VALUE_FAMILIES = (MonteCarloRegression, SoftQIteration, ContrastiveTwist, ContrastiveEnergy)
POLICY_FAMILIES = (PolicyGradient, DistributionalPolicyGradient, PathConsistency)


@pytest.mark.parametrize("family", VALUE_FAMILIES)
def test_a_value_that_goes_to_nan_stops_at_its_step(family, tmp_path):
    oracle, _ = markov()
    objective = family(oracle, oracle.target(ALPHA), Learned(Breaking()), batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    assert record["step"] == 3
    assert re.search(r"Learned: expected a finite number at step \d, got nan at index \d+", record["reason"])
    objective.seed = 0
    fresh = objective._trajectories(0, BATCH, seeded("cpu", 0, 0, 3))  # of (seed, training, step)
    assert set(batch.keys()) == {"states", "rewards"}
    assert torch.equal(batch["states"], fresh["states"]) and torch.equal(batch["rewards"], fresh["rewards"])


@pytest.mark.parametrize("family", [MonteCarloRegression, SoftQIteration])
def test_a_loss_that_overflows_says_what_its_terms_were(family, tmp_path):
    oracle, _ = markov()
    objective = family(oracle, oracle.target(ALPHA), Learned(Breaking(-1e5)), "soft", batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    assert record["step"] == 3
    assert re.search(r"loss: expected a finite number, got inf; .*value is from -\d\S+e\+05 to", record["reason"])
    with pytest.raises(NonFiniteError, match="got inf"):  # and the batch is what the loss takes
        objective._guard.check_loss(objective.loss(batch, seeded("cpu", 0)))


@pytest.mark.parametrize("family", POLICY_FAMILIES)
def test_a_policy_that_goes_to_nan_stops_at_its_step(family, tmp_path):
    oracle, _ = markov()
    policy = Tilted(oracle, Breaking())
    if family is PathConsistency:
        objective = family(oracle, oracle.target(ALPHA), Learned(Table(5, 6)), policy, batch_size=BATCH)
    else:
        objective = family(oracle, oracle.target(ALPHA), policy, batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    assert record["step"] == 3 and "log q - log p_ref" in record["reason"] and "nan" in record["reason"]
    assert batch["states"].shape == (BATCH, 7, 1)


class Exploding(nn.Module):
    """The reward of a chain, and from the fourth call on `bad` at the third row."""

    def __init__(self, reward, bad):
        super().__init__()
        self.reward, self.bad, self.calls = reward, bad, 0

    def forward(self, x):
        self.calls += 1
        rewards = self.reward(x).clone()
        if self.calls > 3:
            rewards[2] = self.bad
        return rewards


@pytest.mark.parametrize("policy", [False, True])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (math.nan, "reward: expected a number or -inf at step T, got nan at index 2"),
        (math.inf, "reward: expected a number or -inf at step T, got inf at index 2"),
        (1e305, r"loss: expected a finite number, got (inf|nan|-inf); reward is from -\S+ to 1e\+305"),
    ],
)
def test_a_reward_that_explodes_stops_at_its_step(bad, words, policy, tmp_path):
    oracle, network = markov()
    target = Target(Exploding(oracle.reward, bad), 1e-4)
    if policy:
        objective = PolicyGradient(oracle, target, Tilted(oracle, Table(5, 6)), batch_size=BATCH)
    else:
        objective = MonteCarloRegression(oracle, target, Learned(network), batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    assert record["step"] == 3 and re.search(words, record["reason"])
    assert batch["states"].shape == (BATCH, 7, 1)  # rewards that could not be had are not there
    assert ("rewards" in batch) == (bad == 1e305)


@pytest.mark.parametrize("policy", [False, True])
def test_a_gradient_that_is_not_finite_stops_a_finite_loss(policy, tmp_path):
    oracle, _ = markov()
    network = Breaking(backward=True)
    if policy:
        objective = PolicyGradient(oracle, oracle.target(ALPHA), Tilted(oracle, network), batch_size=BATCH)
    else:
        objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    name = "policy.network.inner.table" if policy else "value.network.inner.table"
    assert record["step"] == 3 and f"gradient: expected a finite norm, got nan, first in {name}" in record["reason"]
    assert batch["states"].shape == (BATCH, 7, 1)
    assert network.inner.table.isfinite().all()  # no step was taken


def test_the_paths_of_a_control_are_saved_by_their_noise(tmp_path, walk):
    class Push(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.calls = nn.Parameter(torch.zeros((), dtype=torch.float64)), 0

        def forward(self, x, t):
            self.calls += torch.is_grad_enabled()
            return self.weight * x * (math.nan if self.calls > 24 else 1.0)

    target = Target(lambda x: -(x**2).sum(1), 1.0)
    objective = StochasticControl(walk, target, Controlled(walk, Push()), batch_size=BATCH)
    record, batch = stopped(objective, tmp_path)
    assert "state: expected numbers at step T, got NaN at index 0" in record["reason"]
    assert batch["noise"].shape == (BATCH, 4, 1) and batch["initial"].shape == (BATCH, 1)


def test_nested_states_come_back_with_their_batch_sizes(tmp_path):
    states = TensorDict({"words": torch.arange(6).view(2, 3, 1), "inner": {"place": torch.rand(2, 3, 4)}}, [2, 3])
    batch = TensorDict({"states": states, "rewards": torch.tensor([0.0, -math.inf])}, [2])
    loaded = load_batch(save_batch(batch, tmp_path / "new" / "batch.safetensors", step=1))
    assert loaded.batch_size == (2,) and loaded["states"].batch_size == (2, 3)
    assert bool((loaded == batch).all())
    assert torch.equal(loaded["states"][:, 1]["inner", "place"], states["inner", "place"][:, 1])


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"size": 2},
        {"size": "2", "batch_dims": {}},
        {"size": 3, "batch_dims": {}},
        {"size": -1, "batch_dims": {}},
        {"size": 2, "batch_dims": {"absent": 1}},
        {"size": 2, "batch_dims": {"x": "1"}},
    ],
)
def test_files_that_no_guard_has_saved(record, tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(2)}, path, metadata={"svlearn": json.dumps(record)})
    with pytest.raises(ValueError, match="odd.safetensors: expected"):
        load_batch(path)
    for content in (b"", b"no such thing"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="odd.safetensors: expected a safetensors file"):
            load_batch(path)
    with pytest.raises(FileNotFoundError, match="absent.safetensors"):
        load_batch(tmp_path / "absent.safetensors")


def test_a_clipped_gradient_has_the_norm_that_was_asked_for(tmp_path):
    """10 by default; the trainer's own limit where it has one, and 0 leaves the gradient alone."""
    norms = {}
    for limit in (None, 0.5, 0):
        oracle, network = markov()
        objective = MonteCarloRegression(
            oracle.with_rewards(oracle.reward.table + 1e4), oracle.target(ALPHA), Learned(network), batch_size=BATCH
        )
        objective.reward_variance.fill_(1e-3)
        configure = objective.configure_gradient_clipping

        def clip(optimizer, *args, configure=configure, limit=limit, network=network, **kwargs):
            configure(optimizer, *args, **kwargs)
            norms[limit] = float(network.table.grad.norm())

        objective.configure_gradient_clipping = clip
        fit(objective, max_steps=1, gradient_clip_val=limit, enable_progress_bar=False)
    assert norms[None] == pytest.approx(10.0, rel=1e-6) and norms[0.5] == pytest.approx(0.5, rel=1e-5)
    assert norms[0] > 100
