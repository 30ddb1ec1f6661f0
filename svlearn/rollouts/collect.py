"""Collect trajectories to disk, chunk by chunk, so that a run that was killed goes on where it was."""

import os
from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.arguments import as_seed, integer
from svlearn.fingerprint import fingerprint, fingerprint_of_states
from svlearn.inference.proposals import Proposal
from svlearn.metering import metered
from svlearn.process import Reference
from svlearn.progress import progress as progress_of
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.manifest import Request
from svlearn.rollouts.roll_out import as_proposal, check_has_noise, roll_back, roll_out
from svlearn.rollouts.store import Rollouts, Writer
from svlearn.state import State
from svlearn.targets import Target


def collect(
    process: Reference,
    num_trajectories: int,
    path: str | os.PathLike,
    *,
    target: Target | None = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = True,
    max_batch: int | None = None,
    proposal: Proposal | Reference | None = None,
) -> Rollouts:
    """Roll out N trajectories of a reference or a policy and keep them at `path`; T calls a trajectory.

    The store has states (N, T + 1, ...) and, with a target, rewards (N,), reward units; -inf is kept. With a proposal,
    which then draws in the place of `process`, it has log_ratios (N, T) as well (see `roll_out`). Chunks of
    `batch_size` trajectories are drawn from streams of (seed, chunk), so that interruptions change nothing: collect
    again with the same arguments and what is complete stays, what is missing is drawn. A reward that is not a module
    is told from another only by its name, a proposal by its class and the modules it holds. max_batch: at most so
    many states in one network call.
    Raises ValueError where `path` holds rollouts of other arguments (it says which) or corrupt ones, and for a reward
    that is NaN or +inf; TypeError for a process that is not a `Reference`.
    """
    q = None if proposal is None else as_proposal(proposal)
    request = _request("process", process, num_trajectories, target, batch_size, seed, proposal=q)

    def draw(rows: slice, generator: torch.Generator) -> TensorDict:
        return roll_out(process, rows.stop - rows.start, target=target, generator=generator, proposal=q)

    return _fill(path, request, draw, device_of(process), progress, max_batch)


def collect_by_noising(
    reference: Reference,
    finished_states: State,
    path: str | os.PathLike,
    *,
    target: Target | None = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = True,
    max_batch: int | None = None,
) -> Rollouts:
    """Trajectories x_0 ... x_T that end in the given x_T (N, ...), by the forward process (see `roll_back`).

    The same store, and the same rules of resuming, as `collect`; the finished states are among the arguments that
    must be the same. Raises TypeError where the reference has no `noise`.
    """
    request = _request("noising", reference, len(finished_states), target, batch_size, seed, finished_states)
    check_has_noise(reference)

    def draw(rows: slice, generator: torch.Generator) -> TensorDict:
        return roll_back(reference, finished_states[rows], target=target, generator=generator)

    return _fill(path, request, draw, device_of(reference), progress, max_batch)


def _fill(
    path: str | os.PathLike,
    request: Request,
    draw: Callable[[slice, torch.Generator], TensorDict],
    device: torch.device,
    progress: bool,
    max_batch: int | None,
) -> Rollouts:
    with metered(max_batch):
        writer = Writer(path, request)
        with progress_of(
            total=request.num_trajectories,
            initial=writer.num_written(),
            disable=not progress,
            desc="collecting",
            unit="trajectory",
        ) as bar:
            for chunk in writer.missing():
                rows = request.rows(chunk)
                try:
                    writer.write(chunk, draw(rows, seeded(device, request.seed, chunk)))
                except Exception as error:
                    error.add_note(f"in chunk {chunk}, trajectories {rows.start} to {rows.stop - 1} of {path}")
                    raise
                bar.update(rows.stop - rows.start)
    return Rollouts.open(path)


def _request(
    kind: str,
    process: Reference,
    num_trajectories: int,
    target: Target | None,
    batch_size: int,
    seed: int,
    finished_states: State | None = None,
    proposal: Proposal | None = None,
) -> Request:
    if not isinstance(process, Reference):
        raise TypeError(f"process: expected a Reference, got {type(process).__name__}")
    if target is not None and not isinstance(target, Target):
        raise TypeError(f"target: expected None or a Target, got {type(target).__name__}")
    return Request(
        kind=kind,
        num_trajectories=integer(num_trajectories, "num_trajectories"),
        num_steps=process.num_steps,
        batch_size=integer(batch_size, "batch_size"),
        seed=as_seed(seed),
        process=fingerprint(process),
        reward=None if target is None else _name(target.reward),
        finished_states=None if finished_states is None else fingerprint_of_states(finished_states),
        proposal=None if proposal is None else _name_of_proposal(proposal),
    )


def _name(reward: Callable) -> str:
    if isinstance(reward, nn.Module):
        return fingerprint(reward)
    return getattr(reward, "__qualname__", type(reward).__qualname__)


def _name_of_proposal(proposal: Proposal) -> str:
    held = [fingerprint(each) for each in vars(proposal).values() if isinstance(each, nn.Module)]
    return " ".join([type(proposal).__qualname__, *held])
