"""The tables hold what diffusers' own `step` does, for every scheduler, setting and t, and their laws are its laws."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from scipy import stats

from svlearn.domains.images.steps import steps_of

SHAPE = (2, 3, 4, 4)
STEPS = 7
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}

SCHEDULERS = {
    "ddpm": DDPMScheduler(),
    "ddpm, sample, log variance": DDPMScheduler(prediction_type="sample", variance_type="fixed_small_log"),
    "ddpm, v, large variance": DDPMScheduler(prediction_type="v_prediction", variance_type="fixed_large", **BETAS),
    "ddpm, trailing": DDPMScheduler(timestep_spacing="trailing", clip_sample=False),
    "ddpm, linspace, thresholding": DDPMScheduler(
        timestep_spacing="linspace", thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.9
    ),
    "ddpm, cosine, clipped to 2": DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample_range=2.0),
    "ddim": DDIMScheduler(),
    "ddim, sample": DDIMScheduler(prediction_type="sample"),
    "ddim, v, not to one": DDIMScheduler(
        prediction_type="v_prediction", set_alpha_to_one=False, steps_offset=1, clip_sample=False, **BETAS
    ),
    "ddim, trailing": DDIMScheduler(timestep_spacing="trailing"),
    "euler": EulerAncestralDiscreteScheduler(),
    "euler, v, leading": EulerAncestralDiscreteScheduler(
        prediction_type="v_prediction", timestep_spacing="leading", steps_offset=1, **BETAS
    ),
    "flow": FlowMatchEulerDiscreteScheduler(),
    "flow, stochastic": FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
    "flow, shifted": FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=True),
}


def choices(name, eta=1.0):
    """What makes the tables those of the scheduler's own step."""
    return {"flow_sampler": "scheduler"} if "flow" in name else {"eta": eta} if "ddim" in name else {}


def own_steps(scheduler, outputs, x, eta):
    """Mean and std of the scheduler's own steps from x (B, ...), by two draws of known noise each."""
    scheduler.set_timesteps(STEPS)
    for t, timestep in enumerate(scheduler.timesteps):
        drawn, noises = [], []
        for seed in (1, 2):
            options = {"eta": eta} if isinstance(scheduler, DDIMScheduler) else {}
            if hasattr(scheduler, "_step_index"):
                scheduler._step_index = t
                scheduler.scale_model_input(x, timestep) if hasattr(scheduler, "scale_model_input") else None
            torch.manual_seed(seed)  # which flows draw by before diffusers 0.39, whatever generator they are given
            own = scheduler.step(outputs, timestep, x, generator=torch.Generator().manual_seed(seed), **options)
            drawn.append(own.prev_sample.double())
            noise = torch.float32 if isinstance(scheduler, FlowMatchEulerDiscreteScheduler) else torch.float64
            noises.append(torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=noise).double())
        std = (drawn[0] - drawn[1]) / (noises[0] - noises[1])
        yield t, drawn[0] - std * noises[0], std


@pytest.mark.parametrize(
    ("name", "eta"), [(name, eta) for name in SCHEDULERS for eta in ((0.0, 0.6, 1.0) if "ddim" in name else (1.0,))]
)
def test_mean_and_std_are_those_of_the_schedulers_own_step_at_all_t(name, eta):
    scheduler = SCHEDULERS[name]
    generator = torch.Generator().manual_seed(0)
    x, outputs = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    tables = steps_of(scheduler, STEPS, **choices(name, eta))
    for t, mean, std in own_steps(scheduler, outputs, x, eta):
        at = torch.full((2,), t)
        law = tables.law(x, tables.clean(x, outputs, at), outputs, at)
        scale = max(1.0, float(mean.abs().max()))  # some schedulers compute in float32
        torch.testing.assert_close(law.mean, mean, rtol=0, atol=1e-5 * scale)
        torch.testing.assert_close(law.std.expand_as(mean), std, rtol=0, atol=1e-5 * max(1.0, float(std.abs().max())))
        if float(std.abs().max()) > 1e-3:
            other = torch.distributions.Normal(mean, std.mean()).log_prob(mean + std.mean()).sum(dim=(1, 2, 3))
            torch.testing.assert_close(law.log_prob(mean + std.mean()), other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "euler", "flow, stochastic"])
def test_ten_thousand_draws_have_the_law_of_the_schedulers_own(name):
    """Kolmogorov and Smirnov, one pixel, the middle step: draws of the scheduler against the law's distribution."""
    scheduler, t = SCHEDULERS[name], STEPS // 2
    scheduler.set_timesteps(STEPS)
    generator = torch.Generator().manual_seed(3)
    x = torch.full((10_000, 1, 1, 1), 0.7, dtype=torch.float64)
    outputs = torch.full_like(x, -0.4)
    if hasattr(scheduler, "_step_index"):
        scheduler._step_index = t
    own = scheduler.step(
        outputs, scheduler.timesteps[t], x, generator=generator, **({"eta": 1.0} if "ddim" in name else {})
    )
    tables = steps_of(scheduler, STEPS, **choices(name))
    at = torch.full((len(x),), t)
    law = tables.law(x, tables.clean(x, outputs, at), outputs, at)
    for drawn in (own.prev_sample, law.sample(generator=generator)):
        scores = (drawn.double().flatten() - law.mean[0].item()) / law.std[0].item()
        assert stats.kstest(scores.numpy(), "norm").pvalue > 0.01


def test_rows_have_their_own_times():
    tables = steps_of(SCHEDULERS["ddpm"], STEPS)
    generator = torch.Generator().manual_seed(1)
    x, outputs = (torch.randn(STEPS, 1, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    together = tables.law(x, tables.clean(x, outputs, torch.arange(STEPS)), outputs, torch.arange(STEPS))
    for t in range(STEPS):
        row = slice(t, t + 1)
        alone = tables.law(
            x[row], tables.clean(x[row], outputs[row], torch.tensor([t])), outputs[row], torch.tensor([t])
        )
        torch.testing.assert_close(together.mean[row], alone.mean)
        torch.testing.assert_close(together.std[row], alone.std)


def test_the_scheduler_is_left_as_it_was():
    scheduler = DDPMScheduler()
    before = scheduler.timesteps.clone()
    steps_of(scheduler, 5)
    assert torch.equal(scheduler.timesteps, before)


def test_half_precision_and_moves_leave_the_tables_in_float64():
    tables = steps_of(SCHEDULERS["ddpm"], STEPS)
    before = tables.mean_x.clone()
    tables.half().to("cpu")
    assert tables.mean_x.dtype == torch.float64
    assert torch.equal(tables.mean_x, before)


def test_the_forward_process_has_the_schedulers_marginals():
    scheduler = DDPMScheduler()
    levels = steps_of(scheduler, STEPS).levels()
    scheduler.set_timesteps(STEPS)
    clean, noise = torch.tensor([2.0]), torch.tensor([-1.0])
    for t, timestep in enumerate(scheduler.timesteps):
        own = scheduler.add_noise(clean, noise, timestep[None])
        expected = levels.scales[t] * 2.0 - levels.stds[t]
        assert own.item() == pytest.approx(expected.item(), abs=1e-6)
    assert (levels.scales[-1], levels.stds[-1]) == (1, 0)


@pytest.mark.parametrize("kind", ["learned", "learned_range", "fixed_large_log"])
def test_variances_that_no_table_holds_are_refused(kind):
    with pytest.raises(ValueError, match="variance_type='fixed_small'"):
        steps_of(DDPMScheduler(variance_type=kind), STEPS)


def test_a_scheduler_without_a_stochastic_step_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match=r"DDPMScheduler, DDIMScheduler .* got EulerDiscreteScheduler; .*from_config"):
        steps_of(EulerDiscreteScheduler(), STEPS)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("ddpm", {"eta": 0.5}),
        ("euler", {"noise_level": 0.7}),
        ("ddim", {"flow_sampler": "memoryless"}),
        ("flow", {"eta": 1.0}),
        ("flow", {"flow_sampler": "memoryless", "noise_level": 0.7}),
    ],
)
def test_a_choice_that_would_change_nothing_is_refused(name, choice):
    with pytest.raises(ValueError, match=r"(eta|flow|noise_level): expected None with"):
        steps_of(SCHEDULERS[name], STEPS, **choice)
