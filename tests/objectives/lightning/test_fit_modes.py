"""A fit gives every module back in the mode and the precision that it had; meanwhile only what is trained trains."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from svlearn import Target
from svlearn.fingerprint import fingerprint
from svlearn.objectives import (
    ContrastiveTwist,
    LastCheckpoint,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    SoftQIteration,
)
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.process import Prediction, Reference
from svlearn.randomness import uniform
from svlearn.rollouts import RolloutData, collect
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned

QUIET = dict(enable_progress_bar=False)


class Noted(nn.Module):
    """A layer that notes in which mode it is called."""

    def __init__(self, *size):
        super().__init__()
        self.layer, self.dropout = nn.Linear(*size), nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(size[1])
        self.modes, self.fails = [], False

    def forward(self, x):
        if self.fails:
            raise RuntimeError("out of luck")
        self.modes.append((self.training, self.dropout.training))
        return self.dropout(self.norm(self.layer(x)))


class Process(Reference):
    """Two steps in three dimensions."""

    num_steps = 2

    def __init__(self):
        super().__init__()
        self.network = Noted(3, 3)
        self.register_buffer("bias", torch.linspace(0, 1, 3))

    def initial(self, batch_size, *, condition=None, generator=None):
        return uniform((batch_size, 3), generator, self.bias.device).to(self.bias.dtype)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(0.1 * self.network(x) + self.bias, 0.5), clean=x)


class Reward(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = Noted(3, 1)

    def forward(self, x):
        return self.network(x.to(self.network.layer.weight.dtype)).squeeze(1)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = Noted(3, 1)

    def forward(self, x, t):
        return self.network(x).squeeze(1)


@pytest.fixture
def parts():
    return Process(), Target(Reward(), alpha=1.0), Learned(Network())


def modes(*modules):
    return [each.training for module in modules for each in module.modules()]


FAMILIES = {
    "mean": lambda *parts: MonteCarloRegression(*parts, batch_size=8),
    "soft q": lambda *parts: SoftQIteration(*parts, batch_size=8),
    "twist": lambda *parts: ContrastiveTwist(*parts, positives="smc", batch_size=8),
    "policy": lambda reference, target, value: PolicyGradient(
        reference, target, Finetuned(reference), batch_size=8, num_validation=8
    ),
    "paths": lambda reference, target, value: PathConsistency(
        reference, target, value, Finetuned(reference), batch_size=8, num_validation=8, replay=0.5
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("fails", [False, True])
def test_every_module_has_the_mode_it_had(parts, family, fails):
    reference, target, value = parts
    objective = FAMILIES[family](*parts)
    reference.network.dropout.eval()  # the caller's own choice, whatever it may be for
    target.reward.network.norm.eval()
    everything = (objective, reference, target.reward, value)
    before = modes(*everything)
    reference.network.modes.clear(), target.reward.network.modes.clear()

    class Failing(pl.Callback):
        def on_train_batch_end(self, *_):
            reference.network.fails = fails

    if fails:
        with pytest.raises(RuntimeError, match="out of luck"):
            fit(objective, max_steps=3, callbacks=[Failing()], **QUIET)
    else:
        fit(objective, max_steps=3, limit_val_batches=1, val_check_interval=1, **QUIET)
    assert modes(*everything) == before
    assert reference.network.modes and not any(any(each) for each in reference.network.modes)
    assert not any(any(each) for each in target.reward.network.modes)


def test_the_value_trains_in_its_loss_and_only_runs_in_the_trajectories(parts):
    modes = parts[2].network.network.modes
    fit(ContrastiveTwist(*parts, positives="smc", batch_size=8), max_steps=1, **QUIET)
    assert modes[-1] == (True, True) and modes[0] == (False, False)
    assert len(modes) > 2 and not any(any(each) for each in modes[:-1])
    modes.clear()
    soft = SoftQIteration(*parts, batch_size=8)
    fit(soft, max_steps=2, **QUIET)
    assert modes and all(all(each) for each in modes)
    assert soft.slow.network.network.modes[-1] == (False, False)


def test_a_value_in_evaluation_mode_trains_and_a_frozen_part_stays_frozen(parts):
    value = parts[2]
    objective = MonteCarloRegression(*parts, batch_size=8)
    objective.eval()
    fit(objective, max_steps=1, **QUIET)
    assert value.network.network.modes == [(True, True)] and not any(modes(objective))
    objective.train()
    value.network.network.dropout.eval()
    fit(objective, max_steps=1, **QUIET)
    assert value.network.network.modes[-1] == (True, False) and value.training


def test_the_copy_that_is_fine_tuned_stays_in_evaluation_mode(parts):
    policy = Finetuned(parts[0])
    policy.eval().train()
    assert policy.training and not any(modes(policy.copy))


def test_a_bare_validation_runs_the_reward_in_evaluation_mode(parts):
    objective, reward = MonteCarloRegression(*parts, num_validation=8), parts[1].reward
    pl.Trainer(logger=False, enable_checkpointing=False, **QUIET).validate(objective, verbose=False)
    assert reward.network.modes == [(False, False)] and reward.network.training


# Precision ------------------------------------------------------------------------------------------------------------


def tensors(module):
    return {name: (each.dtype, each.clone()) for name, each in module.state_dict().items()}


def same(one, other):
    return all(one[name][0] == other[name][0] and torch.equal(one[name][1], other[name][1]) for name in one | other)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true", "16-true"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_reference_is_byte_for_byte_what_it_was(parts, precision, fails):
    reference, target, value = parts
    objective = SoftQIteration(*parts, batch_size=8)
    before, reward, learned, name = tensors(reference), tensors(target.reward), tensors(value), fingerprint(reference)
    dtypes = []

    class Seen(pl.Callback):
        def on_train_batch_end(self, *_):
            dtypes.append(
                (reference.bias.dtype, value.network.network.layer.weight.dtype, objective.reward_variance.dtype)
            )
            reference.network.fails = fails

    options = dict(max_steps=2 if fails else 1, precision=precision, callbacks=[Seen()], **QUIET)
    if fails:
        with pytest.raises(RuntimeError, match="out of luck"):
            fit(objective, **options)
    else:
        fit(objective, **options)
    dtype = {"bf16-true": torch.bfloat16, "64-true": torch.float64, "16-true": torch.float16}[precision]
    assert dtypes[0] == (dtype, dtype, torch.float64)
    assert same(tensors(reference), before) and same(tensors(target.reward), reward)
    assert fingerprint(reference) == name
    after = tensors(value)
    assert [each[0] for each in after.values()] == [each[0] for each in learned.values()] and not same(after, learned)
    assert value(torch.randn(4, 3), torch.zeros(4, dtype=torch.long)).shape == (4,)


def test_a_fit_in_another_precision_goes_on_from_its_checkpoint(parts, tmp_path):
    keep = LastCheckpoint(dirpath=str(tmp_path))
    options = dict(precision="bf16-true", enable_checkpointing=True, default_root_dir=str(tmp_path), **QUIET)
    objective = MonteCarloRegression(*parts, batch_size=8)
    fit(objective, max_steps=2, callbacks=[keep], **options)
    held = torch.load(keep.path, weights_only=True)
    assert held["reference_fingerprint"] == fingerprint(parts[0])
    fit(MonteCarloRegression(*parts, batch_size=8), max_steps=3, ckpt_path=str(keep.path), **options)


def test_stored_trajectories_serve_a_fit_in_another_precision(parts, tmp_path):
    reference, target, _ = parts
    reference.eval(), target.reward.eval()
    collect(reference, 20, tmp_path, target=target, progress=False)
    before = tensors(reference)
    data = RolloutData(tmp_path, batch_size=8)
    fit(MonteCarloRegression(*parts), max_steps=2, data=data, precision="bf16-true", **QUIET)
    assert same(tensors(reference), before)
