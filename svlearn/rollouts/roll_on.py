"""Trajectories that a sampler draws until a random time, and its reference from there on."""

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer
from svlearn.inference.sampler import Sampler
from svlearn.metering import metered
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.randomness import randint
from svlearn.state import State, device_of_state
from svlearn.values.finish import steps_on


@torch.no_grad()
def roll_on(
    sampler: Sampler,
    batch_size: int,
    *,
    since: Tensor | None = None,
    generator: torch.Generator | None = None,
    condition: Any = None,
    max_batch: int | None = None,
) -> TensorDict:
    """Draw x_0 ... x_S by a sampler and x_{S+1} ... x_T by its reference, S uniform in 0 ... T - 1 of each trajectory.

    "states" (B, T + 1, ...), "rewards" (B,), reward units, of the sampler's target, and "since" (B,), S. From S on what
    follows x_t is p_ref's, so a value is learned there without weights, at the states that the sampler comes by: a
    value objective that takes trajectories with "since" looks at none before. Of a group of several particles the path
    of one is followed, drawn by its weight. It costs a run of the sampler, T - S calls of the reference and the reward
    of x_T.
    since: S of each, in the place of random ones. condition: B rows of what the samples are conditioned on. Raises
    TypeError for a sampler without a target and that of `refine`; ValueError for a `since` of another shape or out of
    range, and what the sampler and the reward raise.
    """
    reference, target, last = sampler.reference, sampler.target, sampler.reference.num_steps
    if target is None:
        raise TypeError("sampler: expected one with a target, got None")
    if type(sampler).sample is not Sampler.sample:  # as that of `refine`, whose paths begin later
        raise TypeError(f"sampler: expected one that starts at x_0, got {type(sampler).__name__}")
    batch_size = integer(batch_size, "batch_size")
    home = at_home(reference, sampler, generator=generator, check="every")
    with evaluating(sampler), metered(max_batch), home as generator:
        options: dict[str, Any] = {"keep_states": True, "progress": False}
        samples = sampler._sample(batch_size, condition, generator, None, None, options, may_die=True)
        paths = samples.paths()[samples.draw_places(generator)]
        device = device_of_state(paths)
        if since is None:
            since = randint(last, (batch_size,), generator, device)
        else:
            since = _checked(since, batch_size, last).to(device)
        states = _followed(sampler, paths, since, generator)
        rolled = {"states": states, "rewards": target(states[:, last]), "since": since}
        return TensorDict(rolled, batch_size=[batch_size])


def _followed(sampler: Sampler, paths: State, since: Tensor, generator: torch.Generator) -> State:
    """The trajectories (B, T + 1, ...) with all that comes after x_S drawn by the reference."""
    states = paths.clone()
    rows = torch.arange(len(since), device=since.device)
    for t, x in steps_on(sampler.reference, paths[rows, since], since, generator):
        begun = (since < t).nonzero().squeeze(1)
        states[begun, t] = x[begun]
    return states


def _checked(since: Tensor, batch_size: int, last: int) -> Tensor:
    if tuple(since.shape) != (batch_size,) or since.is_floating_point():
        raise ValueError(f"since: expected {batch_size} integers, got {tuple(since.shape)} of {since.dtype}")
    if not bool(((since >= 0) & (since < last)).all()):
        raise ValueError(f"since: expected integers of 0 ... {last - 1}, got {since.tolist()}")
    return since
