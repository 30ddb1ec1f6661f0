"""A network with the closed-form score of a Gaussian mixture, through the adapter: the oracle's values and log Z.

The oracle's process is the exact reversal, the adapter's steps are Gaussians that tend to it as T grows: at T = 1,000
the difference is below the standard errors here.
"""

import math

import pytest
import torch
from diffusers import DDPMScheduler, EulerAncestralDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from torch import nn

from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.domains.images import DiffusersReference
from svlearn.inference.samplers import ancestral, smc
from svlearn.targets import Target
from svlearn.values import MonteCarlo, PosteriorMean

ALPHA, STEPS = 0.5, 1000
MIXTURE = GaussianMixture(torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[-1.0, 0.5], [1.0, 0.0], [0.0, -1.0]]), 0.1)
REWARD = QuadraticReward(torch.zeros(2, 2), torch.tensor([0.6, -0.3]))


class MixtureNetwork(nn.Module):
    """E[x_T | x_t] in closed form, said as its scheduler wants it, of "images" (B, 2, 1, 1)."""

    def __init__(self, kind, scales, stds, timesteps):
        super().__init__()
        self.kind, self.scales, self.stds, self.timesteps = kind, scales, stds, timesteps
        self.shifted = nn.Parameter(torch.zeros((), dtype=torch.float64))  # so that it has a dtype

    def forward(self, sample, timestep):
        place = torch.searchsorted(-self.timesteps, -timestep.double())
        scale, std = (each[place][:, None] for each in (self.scales, self.stds))
        x = sample.flatten(1) * ((1 + std**2).sqrt() if self.kind == "euler" else 1.0)
        signal = scale**2 / (scale**2 + std**2)
        variances = signal * MIXTURE.covariances[0, 0, 0] + 1 - signal
        point = x / (scale**2 + std**2).sqrt()
        offsets = point[:, None] - signal.sqrt()[..., None] * MIXTURE.means
        weights = (MIXTURE.log_weights - 0.5 * offsets.square().sum(2) / variances).softmax(1)
        gain = signal.sqrt() * MIXTURE.covariances[0, 0, 0] / variances
        clean = (weights[..., None] * (MIXTURE.means + gain[..., None] * offsets)).sum(1)
        said = (x - clean) / std if self.kind == "flow" else (x - scale * clean) / std
        return said.view_as(sample)


def reference_of(kind):
    scheduler = {
        "ddpm": DDPMScheduler(clip_sample=False, variance_type="fixed_small"),
        "euler": EulerAncestralDiscreteScheduler(),
        "flow": FlowMatchEulerDiscreteScheduler(),
    }[kind]
    options = {"num_steps": STEPS, "scheduler": scheduler, "shape": (2, 1, 1)}
    if kind == "flow":
        options["flow"] = "memoryless"
    probe = DiffusersReference(nn.Linear(1, 1), **options).steps  # its tables, which the network reads
    network = MixtureNetwork(kind, probe.scales[:-1], probe.noise_stds[:-1], probe.timesteps)
    return DiffusersReference(network, **options)


def oracle_of(reference):
    """The exact reversal at the same noise levels: x_t over √(a² + σ²) is variance-preserving."""
    levels = reference.noise_levels()
    return GaussianMixtureDiffusion(MIXTURE, levels.scales**2 / (levels.scales**2 + levels.stds**2), REWARD)


def reward(x):
    return REWARD(x.flatten(1))


@pytest.mark.parametrize("kind", ["ddpm", "euler", "flow"])
def test_log_normalizer_is_the_oracles(kind):
    reference = reference_of(kind)
    number = 4_000
    states = ancestral(reference, Target(reward, ALPHA)).sample(number, generator=torch.Generator().manual_seed(1))
    weights = (states.rewards[:, 0] / ALPHA).exp()
    exact = oracle_of(reference).log_normalizer(ALPHA).exp().item()
    assert abs(weights.mean().item() - exact) < 3.5 * weights.std().item() / math.sqrt(number)


@pytest.mark.parametrize("kind", ["ddpm", "euler", "flow"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_soft_values_are_the_oracles(kind, share):
    """v_t of four states by 2,000 simulations each, against the closed form."""
    reference = reference_of(kind)
    t, rows, number = int(share * STEPS), 4, 2_000
    finished = MIXTURE.sample(rows, generator=torch.Generator().manual_seed(2)).view(rows, 2, 1, 1)
    times = torch.full((rows,), t)
    x = reference.noise(finished, torch.full((rows,), STEPS), times, generator=torch.Generator().manual_seed(3))
    levels = reference.noise_levels()
    exact = oracle_of(reference).soft_value(ALPHA)(
        x.flatten(1) / (levels.scales[t] ** 2 + levels.stds[t] ** 2).sqrt(), times
    )
    value = MonteCarlo(reference, Target(reward, ALPHA), number, estimand="soft")
    estimate = value(x, times, generator=torch.Generator().manual_seed(4))
    assert (estimate - exact).abs().max().item() < 0.05  # 2,000 draws of weights of spread below 1.1: 0.012 a row


@pytest.mark.parametrize("kind", ["ddpm", "flow"])
def test_particles_estimate_the_same_log_normalizer(kind):
    reference = reference_of(kind)
    target = Target(reward, ALPHA)
    sampler = smc(reference, target, PosteriorMean(target), 16)
    samples = sampler.sample(60, generator=torch.Generator().manual_seed(6))
    weights = samples.log_normalizer.exp()
    exact = oracle_of(reference).log_normalizer(ALPHA).exp().item()
    assert abs(weights.mean().item() - exact) < 3.5 * weights.std().item() / math.sqrt(60)
