"""The stochastic steps of diffusers' schedulers, as tables of exact Gaussian laws."""

import copy
from typing import Any

from svlearn.arguments import integer
from svlearn.domains.images.steps.ddim import ddim
from svlearn.domains.images.steps.ddpm import ddpm
from svlearn.domains.images.steps.euler_ancestral import euler_ancestral
from svlearn.domains.images.steps.flow import flow
from svlearn.domains.images.steps.tables import StepTables

FLOW = "FlowMatchEulerDiscreteScheduler"
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
    eta: float | None = None,
    flow_sampler: str | None = None,
    noise_level: float | None = None,
    options: dict[str, Any] | None = None,
) -> StepTables:
    """The tables of a scheduler's steps; it is left as it was.

    eta: of DDIM; None: 1. flow_sampler, noise_level, options: see `flow`; None: "flow_grpo" and 0.7.
    Raises ValueError for a scheduler without a stochastic step, and says which to take, for more steps than a diffusion
    was trained with, and for what is of another scheduler or sampler, which would change nothing."""
    scheduler = copy.deepcopy(scheduler)
    kind = type(scheduler).__name__
    options = {} if options is None else options
    given = {"eta": (eta, "DDIMScheduler"), "flow": (flow_sampler, FLOW), "noise_level": (noise_level, FLOW)}
    for name, (choice, own) in given.items():
        if choice is not None and kind != own:
            raise ValueError(f"{name}: expected None with a {kind}, for it is of the {own}, got {choice!r}")
    if kind in ("DDPMScheduler", "DDIMScheduler"):
        integer(num_steps, "num_steps", 1, scheduler.config.num_train_timesteps)
    if kind == "DDPMScheduler":
        return ddpm(scheduler, num_steps)
    if kind == "DDIMScheduler":
        return ddim(scheduler, num_steps, 1.0 if eta is None else eta)
    if kind == "EulerAncestralDiscreteScheduler":
        return euler_ancestral(scheduler, num_steps)
    if kind == FLOW:
        sampler = "flow_grpo" if flow_sampler is None else flow_sampler
        if noise_level is not None and sampler != "flow_grpo":
            raise ValueError(f"noise_level: expected None with flow={sampler!r}, which has its own, got {noise_level}")
        return flow(scheduler, num_steps, sampler, 0.7 if noise_level is None else noise_level, options)
    raise ValueError(
        f"scheduler: expected one with a stochastic step, of {', '.join(STOCHASTIC)}, got {kind}; for a model trained "
        "as that one's are, take DDIMScheduler.from_config(pipeline.scheduler.config) of diffusers, for a flow "
        "FlowMatchEulerDiscreteScheduler.from_config(...)"
    )


__all__ = ["STOCHASTIC", "StepTables", "ddim", "ddpm", "euler_ancestral", "flow", "steps_of"]
