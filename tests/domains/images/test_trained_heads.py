"""A head on the features of a pipeline's own middle learns the value, beside a network of noisy images."""

import math

import pytest
import tiny_pipelines
import torch
from diffusers import DDPMScheduler

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.values import FeaturesValue, ImageValue
from svlearn.inference.samplers import smc
from svlearn.metering import metered
from svlearn.objectives import MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Head, Learned
from svlearn.values.value import evaluate

T, NUMBER = 4, 256
BETAS = dict(num_train_timesteps=100, beta_start=0.001, beta_end=0.06, clip_sample=False)
TARGET = Target(lambda x: x.mean(dim=(1, 2, 3)), 0.1)


@pytest.fixture
def reference():
    return DiffusersReference(tiny_pipelines.ddpm(DDPMScheduler(**BETAS)), T)


@pytest.mark.parametrize("kind", [Head, Learned])
def test_a_value_is_learned(kind, reference, tmp_path):
    """Of fresh trajectories E[r | x_t] explains at every later step, by more than four standard errors."""
    network = FeaturesValue(8, T) if kind is Head else ImageValue(1, T, (8, 8))
    value = kind(network)
    before = {name: each.clone() for name, each in reference.state_dict().items()}
    objective = MonteCarloRegression(reference, TARGET, value, "mean", batch_size=64, learning_rate=1e-2)
    fit(objective, max_steps=60, seed=0, default_root_dir=tmp_path, enable_progress_bar=False)
    assert all(torch.equal(each, before[name]) for name, each in reference.state_dict().items())
    fresh = roll_out(reference, NUMBER, target=TARGET, generator=seeded("cpu", 7))
    rewards = fresh["rewards"].double()
    for t in range(1, T):
        x = fresh["states"][:, t]
        with torch.no_grad():
            learned = evaluate(value, x, t, predict(reference, x, t)).double()
        gains = (rewards - rewards.mean()) ** 2 - (rewards - learned) ** 2
        assert gains.mean() > 4 * gains.std() / math.sqrt(NUMBER) > 0


def test_a_head_costs_no_call_of_its_own(reference):
    calls = []
    for value in (Head(FeaturesValue(8, T)), Learned(ImageValue(1, T, (8,)))):
        with metered() as meter:
            smc(reference, TARGET, value, 3).sample(2, generator=seeded("cpu", 0))
        calls.append(meter.cost.reference_calls)
    assert calls == [2 * 3 * T] * 2
