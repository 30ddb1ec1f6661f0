"""Every policy objective raises the reward of a random pipeline by adapters on its attention and convolutions, and
plain diffusers then draws what the policy draws."""

import math
from pathlib import Path

import pytest
import tiny_pipelines
import torch
from diffusers import DDPMScheduler

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.lora import save_lora
from svlearn.inference.samplers import ancestral, svdd
from svlearn.objectives import (
    AdjointMatching,
    DerivativeFreeAdjointMatching,
    Distillation,
    ForwardProcessPolicy,
    PathConsistency,
    ProximalPolicyGradient,
    StochasticControl,
)
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

T, ALPHA, NUMBER = 4, 0.01, 128
NETWORK = "denoiser.network"
BETAS = dict(num_train_timesteps=100, beta_start=0.001, beta_end=0.06, clip_sample=False)


def sample_of(x):
    return x if isinstance(x, torch.Tensor) else x["sample"]


def brightness(x):
    return sample_of(x).mean(dim=(1, 2, 3))


TARGET = Target(brightness, ALPHA)
BLACK_BOX = Target(lambda x: torch.as_tensor(sample_of(x).numpy().mean(axis=(1, 2, 3))), ALPHA)


def teacher(reference):
    return svdd(reference, TARGET, PosteriorMean(TARGET), 4)


class Start(torch.nn.Module):
    """v(x_0), linear in its mean: what trajectory balance learns beside the policy."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x, t):
        return self.weights[0] * brightness(x) + self.weights[1]


def balance(reference, policy, **options):
    return PathConsistency(reference, TARGET, Learned(Start()), policy, "trajectory", **options)


def shared(reference, policy, **options):
    return PathConsistency(reference, TARGET, None, policy, "log_variance", shared_start=4, **options)


FAMILIES = {
    "adjoint matching": lambda r, p, **o: AdjointMatching(r, TARGET, p, check_memory=False, **o),
    "stochastic control": lambda r, p, **o: StochasticControl(r, TARGET, p, check_memory=False, **o),
    "truncated": lambda r, p, **o: StochasticControl(r, TARGET, p, truncation=3, check_memory=False, **o),
    "PPO": lambda r, p, **o: ProximalPolicyGradient(r, TARGET, p, num_minibatches=2, **o | {"batch_size": 64}),
    "derivative-free": lambda r, p, **o: DerivativeFreeAdjointMatching(r, BLACK_BOX, p, check_memory=False, **o),
    "trajectory balance": balance,
    "log-variance": shared,
    "reward-weighted": lambda r, p, **o: ForwardProcessPolicy(
        r, BLACK_BOX, p, num_times=None, **o | {"batch_size": 64}
    ),
    "NFT": lambda r, p, **o: ForwardProcessPolicy(
        r, BLACK_BOX, p, variant="nft", num_times=None, **o | {"batch_size": 64}
    ),
    "distillation": lambda r, p, **o: Distillation(r, TARGET, p, teacher(r), **o),
}
SMALL = dict(batch_size=16, num_validation=16, learning_rate=2e-2)


def trained(name, reference, steps, folder: Path, **options):
    condition = {"condition": ["a cat"]} if "conditions" in options else {}
    layers = ["to_q", "to_v", "conv1", "conv2"]
    policy = Finetuned(reference, 2, modules=NETWORK, target_modules=layers, noiseless="reference", **condition)
    assert {*policy.adapted.values()} == {"Linear", "Conv2d"}
    objective = FAMILIES[name](reference, policy, **SMALL, **options)
    fit(objective, max_steps=steps, seed=0, default_root_dir=folder, enable_progress_bar=False)
    return policy


def rewards_of(process: Reference) -> torch.Tensor:
    """Of trajectories whose noise is the same for every process."""
    return roll_out(process, NUMBER, target=TARGET, generator=seeded("cpu", 7))["rewards"].double()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_objective_raises_the_reward(name, tmp_path):
    """By more than four standard errors of the difference on the same noise."""
    reference = DiffusersReference(tiny_pipelines.ddpm(DDPMScheduler(**BETAS)), T)
    policy = trained(name, reference, 12, tmp_path)
    start = rewards_of(reference)
    gains = rewards_of(policy) - start
    assert gains.mean() > 4 * gains.std() / math.sqrt(NUMBER) > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_trained_is_what_plain_diffusers_draws(name, tmp_path):
    """Adapters by `save_lora`: the network's outputs to the bit, under prompts."""
    pipeline = tiny_pipelines.stable_diffusion(tmp_path)
    reference = DiffusersReference(pipeline, 3).requires_grad_(False)
    policy = trained(name, reference, 1, tmp_path, conditions=["a cat", "a dog"])
    assert any(bool((each != 0).any()) for key, each in policy.copy.named_parameters() if "lora_B" in key)
    seen: list[tuple] = []
    hook = policy.copy.denoiser.network.register_forward_hook(
        lambda module, inputs, named, output: seen.append((inputs, named, output)), with_kwargs=True
    )
    ancestral(policy).sample(2, condition=["a cat", "a dog"], generator=seeded("cpu", 0))
    hook.remove()
    save_lora(policy, tmp_path / "saved")
    pipeline.load_lora_weights(tmp_path / "saved")
    assert len(seen) >= 2
    with torch.no_grad():
        for inputs, named, output in seen:
            assert torch.equal(pipeline.unet(*inputs, **named)[0], output[0])
        pipeline.unload_lora_weights()
        assert not torch.equal(pipeline.unet(*seen[0][0], **seen[0][1])[0], seen[0][2][0])
