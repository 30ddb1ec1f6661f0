"""Euler's ancestral sampler in the coordinates x_T + σ ε."""

from typing import Any

import torch

from svlearn.domains.images.steps.tables import StepTables, noise_levels

PREDICTIONS = ("epsilon", "v_prediction")


def euler_ancestral(scheduler: Any, num_steps: int) -> StepTables:
    """The steps of diffusers' `EulerAncestralDiscreteScheduler` (k-diffusion; arXiv 2206.00364 in its coordinates):

        x_{t+1} ~ N(x̂_T + (σ_down/σ_t)(x_t - x̂_T), σ_up²),  σ_up² = σ_{t+1}² (σ_t² - σ_{t+1}²)/σ_t²

    and σ_down² = σ_{t+1}² - σ_up². States are x_T + σ_t ε, the network reads x_t/√(σ_t² + 1)."""
    kind = scheduler.config.prediction_type
    if kind not in PREDICTIONS:
        raise ValueError(f"scheduler: expected a prediction_type of {', '.join(PREDICTIONS)}, got {kind!r}")
    scheduler.set_timesteps(num_steps)
    sigmas = scheduler.sigmas.detach().cpu().to(torch.float64)
    now, later = sigmas[:-1], sigmas[1:]
    up = later * (now**2 - later**2).clamp(min=0).sqrt() / now
    kept = (later**2 - up**2).clamp(min=0).sqrt() / now
    return StepTables(
        clean_x=torch.ones_like(now) if kind == "epsilon" else 1 / (now**2 + 1),
        clean_output=-now if kind == "epsilon" else -now / (now**2 + 1).sqrt(),
        mean_x=kept,
        mean_clean=1 - kept,
        stds=up,
        timesteps=torch.as_tensor(scheduler.timesteps).cpu(),
        levels=noise_levels(torch.ones_like(now), now),
        input_scales=1 / (now**2 + 1).sqrt(),
        initial_std=float(scheduler.init_noise_sigma),
    )
