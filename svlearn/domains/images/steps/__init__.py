"""The stochastic steps of diffusers' schedulers, as tables of exact Gaussian laws."""

import copy
from typing import Any

from svlearn.arguments import integer
from svlearn.domains.images.steps.ddim import ddim
from svlearn.domains.images.steps.ddpm import ddpm
from svlearn.domains.images.steps.euler_ancestral import euler_ancestral
from svlearn.domains.images.steps.flow import flow
from svlearn.domains.images.steps.tables import StepTables

STOCHASTIC = (
    "DDPMScheduler",
    "DDIMScheduler (with eta)",
    "EulerAncestralDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler (with flow)",
)


def steps_of(
    scheduler: Any,
    num_steps: int,
    *,
    eta: float = 1.0,
    flow_sampler: str = "flow_grpo",
    noise_level: float = 0.7,
    options: dict[str, Any] | None = None,
) -> StepTables:
    """The tables of a scheduler's steps; it is left as it was.

    eta: of DDIM. flow_sampler, noise_level, options: see `flow`.
    Raises ValueError for a scheduler without a stochastic step, and says which to take, and for more steps than a
    diffusion was trained with."""
    scheduler = copy.deepcopy(scheduler)
    kind = type(scheduler).__name__
    options = {} if options is None else options
    if kind in ("DDPMScheduler", "DDIMScheduler"):
        integer(num_steps, "num_steps", 1, scheduler.config.num_train_timesteps)
    if kind == "DDPMScheduler":
        return ddpm(scheduler, num_steps)
    if kind == "DDIMScheduler":
        return ddim(scheduler, num_steps, eta)
    if kind == "EulerAncestralDiscreteScheduler":
        return euler_ancestral(scheduler, num_steps)
    if kind == "FlowMatchEulerDiscreteScheduler":
        return flow(scheduler, num_steps, flow_sampler, noise_level, options)
    raise ValueError(
        f"scheduler: expected one with a stochastic step, of {', '.join(STOCHASTIC)}, got {kind}; for a model trained "
        "as that one's are, take DDIMScheduler.from_config(pipeline.scheduler.config) of diffusers, for a flow "
        "FlowMatchEulerDiscreteScheduler.from_config(...)"
    )


__all__ = ["STOCHASTIC", "StepTables", "ddim", "ddpm", "euler_ancestral", "flow", "steps_of"]
