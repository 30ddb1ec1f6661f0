"""DDIM with noise: between the deterministic sampler and DDPM."""

from typing import Any

import torch

from svlearn.domains.images.steps.tables import Clip, StepTables, noise_levels
from svlearn.domains.images.steps.variance_preserving import alphas_at, clean_of, noise_of


def ddim(scheduler: Any, num_steps: int, eta: float) -> StepTables:
    """The steps of diffusers' `DDIMScheduler` (arXiv 2010.02502, equations 12 and 16):

        x_{t+1} ~ N(√ᾱ_{t+1} x̂_T + √(1 - ᾱ_{t+1} - s²) ε̂, s²),  s² = η² (1 - ᾱ_{t+1})/(1 - ᾱ_t) (1 - ᾱ_t/ᾱ_{t+1})

    ε̂ is what the network predicts, x̂_T as it is clipped. eta = 0 has no noise, eta = 1 is DDPM's spread."""
    scheduler.set_timesteps(num_steps)
    timesteps = torch.as_tensor(scheduler.timesteps).cpu().long()
    previous = timesteps - scheduler.config.num_train_timesteps // num_steps
    now, later = alphas_at(scheduler, timesteps, previous, final=float(scheduler.final_alpha_cumprod))
    spread = (1 - later) / (1 - now) * (1 - now / later)
    stds = eta * spread.clamp(min=0).sqrt()
    clean, noise = clean_of(scheduler, now), noise_of(scheduler, now)
    direction = (1 - later - stds**2).clamp(min=0).sqrt()
    return StepTables(
        clean_x=clean.x,
        clean_output=clean.output,
        mean_x=direction * noise.x,
        mean_clean=later.sqrt(),
        mean_output=direction * noise.output,
        stds=stds,
        timesteps=timesteps,
        levels=noise_levels(now.sqrt(), (1 - now).sqrt()),
        clip=Clip.of(scheduler),
    )
