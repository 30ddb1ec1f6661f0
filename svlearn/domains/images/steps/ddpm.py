"""The ancestral sampler of DDPM."""

from typing import Any

import torch

from svlearn.domains.images.steps.tables import Clip, StepTables, noise_levels
from svlearn.domains.images.steps.variance_preserving import alphas_at, clean_of

VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large")


def ddpm(scheduler: Any, num_steps: int) -> StepTables:
    """The steps of diffusers' `DDPMScheduler` (arXiv 2006.11239, equations 6 and 7), β = 1 - ᾱ_t/ᾱ_{t+1}:

        mean = √ᾱ_{t+1} β/(1 - ᾱ_t) x̂_T + √(1 - β) (1 - ᾱ_{t+1})/(1 - ᾱ_t) x_t

    and variance β (1 - ᾱ_{t+1})/(1 - ᾱ_t), or β for "fixed_large"; none at the step from timestep 0.
    Raises ValueError for variances that the network learns: they depend on the state, and no table holds them."""
    kind = scheduler.config.variance_type
    if kind not in VARIANCES:
        raise ValueError(
            f"scheduler: expected a variance_type of {', '.join(VARIANCES)}, got {kind!r}; take "
            "DDPMScheduler.from_config(scheduler.config, variance_type='fixed_small')"
        )
    scheduler.set_timesteps(num_steps)
    timesteps = torch.as_tensor(scheduler.timesteps).cpu().long()
    previous = torch.tensor([int(scheduler.previous_timestep(t)) for t in timesteps])
    now, later = alphas_at(scheduler, timesteps, previous, final=1.0)
    added = 1 - now / later
    clean = clean_of(scheduler, now)
    variances = added if kind == "fixed_large" else added * (1 - later) / (1 - now)
    return StepTables(
        clean_x=clean.x,
        clean_output=clean.output,
        mean_x=(1 - added).sqrt() * (1 - later) / (1 - now),
        mean_clean=later.sqrt() * added / (1 - now),
        stds=torch.where(timesteps > 0, variances.clamp(min=0).sqrt(), 0.0),
        timesteps=timesteps,
        levels=noise_levels(now.sqrt(), (1 - now).sqrt()),
        clip=Clip.of(scheduler),
    )
