"""Stochastic samplers of flow matching: the published formula, the limit, and the marginals of the ODE."""

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from svlearn.domains.images.steps import steps_of

MEAN, STD = 0.8, 0.5  # of the data, one dimension


def velocity(x, sigma):
    """E[ε - x_T | x_σ] of x_T ~ N(MEAN, STD²)."""
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    offset = x - (1 - sigma) * MEAN
    clean = MEAN + (1 - sigma) * STD**2 / variance * offset
    return sigma / variance * offset - clean


@pytest.mark.parametrize("noise_level", [0.3, 0.7])
def test_the_step_of_flow_grpo_is_that_of_its_equation(noise_level):
    """x + (u + g²/(2σ) (x + (1 - σ) u)) Δσ + g √-Δσ ε, written down once more."""
    tables = steps_of(FlowMatchEulerDiscreteScheduler(), 6, noise_level=noise_level)
    sigmas = FlowMatchEulerDiscreteScheduler()
    sigmas.set_timesteps(6)
    sigmas = sigmas.sigmas.double()
    x, u = torch.tensor([[1.3]], dtype=torch.float64), torch.tensor([[-0.4]], dtype=torch.float64)
    for t in range(6):
        s, later = sigmas[t].item(), sigmas[t + 1].item()
        g = noise_level * math.sqrt(s / (1 - (sigmas[1].item() if t == 0 else s)))
        mean = 1.3 + (-0.4 + g**2 / (2 * s) * (1.3 + (1 - s) * -0.4)) * (later - s)
        law = tables.law(x, tables.clean(x, u, torch.tensor([t])), u, torch.tensor([t]))
        assert law.mean.item() == pytest.approx(mean, abs=1e-9)
        assert law.std.item() == pytest.approx(g * math.sqrt(s - later), abs=1e-9)
        assert tables.clean(x, u, torch.tensor([t])).item() == pytest.approx(1.3 + 0.4 * s, abs=1e-9)


def test_the_memoryless_step_tends_to_that_of_adjoint_matching():
    """std² -> 2 σ/(1 - σ) Δσ, and the drift of Flow-GRPO's equation at noise_level = √2."""
    number = 20_000
    memoryless = steps_of(FlowMatchEulerDiscreteScheduler(num_train_timesteps=10**6), number, flow_sampler="memoryless")
    euler = steps_of(FlowMatchEulerDiscreteScheduler(num_train_timesteps=10**6), number, noise_level=math.sqrt(2))
    x, u = torch.tensor([[0.9]], dtype=torch.float64), torch.tensor([[0.3]], dtype=torch.float64)
    for share in (0.2, 0.5, 0.8):
        t = torch.tensor([int(share * number)])
        ours, theirs = (each.law(x, each.clean(x, u, t), u, t) for each in (memoryless, euler))
        step = 1 / number
        assert ((ours.mean - x) / step).item() == pytest.approx(((theirs.mean - x) / step).item(), rel=1e-3)
        assert (ours.std / theirs.std).item() == pytest.approx(1, rel=1e-3)


def test_the_memoryless_start_says_nothing():
    tables = steps_of(FlowMatchEulerDiscreteScheduler(), 5, flow_sampler="memoryless")
    assert tables.mean_x[0] == 0
    assert tables.scales[0] == 0


@pytest.mark.parametrize("sampler", ["flow_grpo", "memoryless"])
def test_moments_on_the_way_are_those_of_the_ode(sampler):
    """A thousand steps from the same number of starts: mean and variance at five times within four standard errors of
    the marginal N((1 - σ) m, (1 - σ)² s² + σ²), which the ODE's own steps keep."""
    number, steps = 20_000, 1_000
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=steps)
    tables = {each: steps_of(scheduler, steps, flow_sampler=each) for each in (sampler, "scheduler")}
    generator = torch.Generator().manual_seed(5)
    for own in tables.values():
        x = torch.randn(number, 1, generator=generator, dtype=torch.float64)
        for t in range(steps):
            at, sigma = torch.full((number,), t), 1 - own.scales[t].item()
            if t in (200, 400, 600, 800, 950):
                variance = (1 - sigma) ** 2 * STD**2 + sigma**2
                assert abs(x.mean().item() - (1 - sigma) * MEAN) < 4 * math.sqrt(variance / number), t
                assert abs(x.var().item() / variance - 1) < 4 * math.sqrt(2 / number), t
            u = velocity(x, sigma)
            x = own.law(x, own.clean(x, u, at), u, at).sample(generator=generator)


def test_unknown_samplers_and_inverted_schedules_are_refused():
    with pytest.raises(ValueError, match="flow: expected one of flow_grpo, memoryless, scheduler, got 'sde'"):
        steps_of(FlowMatchEulerDiscreteScheduler(), 5, flow_sampler="sde")
    with pytest.raises(ValueError, match="invert_sigmas"):
        steps_of(FlowMatchEulerDiscreteScheduler(invert_sigmas=True), 5)
