"""Flow matching by stochastic samplers that keep the marginals of its ordinary differential equation."""

from typing import Any

import torch
from torch import Tensor

from svlearn.domains.images.steps.tables import StepTables, noise_levels
from svlearn.schedules import NoiseLevels, gaussian_steps

SAMPLERS = ("flow_grpo", "memoryless", "scheduler")


def flow(scheduler: Any, num_steps: int, sampler: str, noise_level: float, options: dict[str, Any]) -> StepTables:
    """The steps along x_σ = (1 - σ) x_T + σ ε, from σ = 1 down to 0, of diffusers' `FlowMatchEulerDiscreteScheduler`.

    The network's output is the velocity u = E[ε - x_T | x_σ], so x̂_T = x - σ u. With σ' the next of them, Δ = σ - σ':

    "flow_grpo"   Euler and Maruyama of dx = (u + g²/(2σ) (x + (1 - σ) u)) dσ + g dw, g = noise_level √(σ/(1 - σ)) (at
                  σ = 1 the next σ stands in 1 - σ): Flow-GRPO, arXiv 2505.05470, equation 12
    "memoryless"  x_{t+1} ~ p(x_σ' | x_σ, x̂_T) of the chain that forgets its start: `schedules.gaussian_steps` at η = 1.
                  It tends to the same equation with noise_level = √2, σ(t)² = 2 η_t of adjoint matching (arXiv
                  2409.08861, equation 21), and is exact where x̂_T is, with no singularity at σ = 1
    "scheduler"   the scheduler's own step: Euler's without noise, or (1 - σ') x̂_T + σ' ε where its configuration says
                  stochastic_sampling

    options: what `set_timesteps` is given besides the number. Raises ValueError for an unknown sampler."""
    if sampler not in SAMPLERS:
        raise ValueError(f"flow: expected one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if getattr(scheduler.config, "invert_sigmas", False):
        raise ValueError("scheduler: expected sigmas from 1 down to 0, got invert_sigmas=True")
    scheduler.set_timesteps(num_steps, **options)
    sigmas = scheduler.sigmas.detach().cpu().to(torch.float64)
    now, later = sigmas[:-1], sigmas[1:]
    levels = noise_levels(1 - now, now)
    if sampler == "flow_grpo":
        mean_x, mean_output, stds = _flow_grpo(now, later, noise_level)
        mean_clean = torch.zeros_like(now)
    elif sampler == "memoryless":
        mean_x, mean_clean, stds = gaussian_steps(levels, eta=1.0)
        mean_output = torch.zeros_like(now)
    else:
        mean_x, mean_clean, mean_output, stds = _own(scheduler, now, later)
    return StepTables(
        clean_x=torch.ones_like(now),
        clean_output=-now,
        mean_x=mean_x,
        mean_clean=mean_clean,
        mean_output=mean_output,
        stds=stds,
        timesteps=torch.as_tensor(scheduler.timesteps).cpu().float(),
        levels=NoiseLevels(levels.scales, levels.stds),
    )


def _flow_grpo(now: Tensor, later: Tensor, noise_level: float) -> tuple[Tensor, Tensor, Tensor]:
    step = now - later
    rest = 1 - torch.where(now == 1, later[0], now)
    variance = noise_level**2 * now / rest
    mean_x = 1 - variance / (2 * now) * step
    mean_output = -(1 + variance * (1 - now) / (2 * now)) * step
    return mean_x, mean_output, (variance * step).sqrt()


def _own(scheduler: Any, now: Tensor, later: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    zero = torch.zeros_like(now)
    if scheduler.config.stochastic_sampling:
        return zero, 1 - later, zero, later
    return torch.ones_like(now), zero, later - now, zero
