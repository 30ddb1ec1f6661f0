"""Collect trajectories to disk, chunk by chunk, so that a run that was killed goes on where it was."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.arguments import as_seed, integer
from svlearn.conditions import Conditions, draw_rows
from svlearn.fingerprint import fingerprint, fingerprint_of_states
from svlearn.identity import identity, identity_of_process, type_name
from svlearn.inference.proposals import Proposal
from svlearn.metering import metered
from svlearn.process import Reference
from svlearn.progress import progress as progress_of
from svlearn.randomness import device_of, seeded
from svlearn.rollouts.kept import as_times, times_of
from svlearn.rollouts.manifest import Request
from svlearn.rollouts.roll_out import as_proposal, check_has_noise, roll_back, roll_out
from svlearn.rollouts.store import Rollouts, Writer
from svlearn.state import State
from svlearn.targets import Target

TIMES = 1  # stream of randomness, beside that of a chunk's trajectories


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
    conditions: Any = None,
    times: int | Sequence[int] | None = None,
) -> Rollouts:
    """Roll out N trajectories of a reference or a policy and keep them at `path`; T calls a trajectory, fewer
    for one that is finished before.

    The store has states (N, T + 1, ...) and, with a target, rewards (N,), reward units; -inf is kept. With a proposal,
    which then draws in the place of `process`, it has log_ratios (N, T) as well (see `roll_out`). Chunks of
    `batch_size` trajectories are drawn from streams of (seed, chunk), so that interruptions change nothing: collect
    again with the same arguments and what is complete stays, what is missing is drawn. Arguments are the same by their
    `svlearn.identity`; alpha counts only where a proposal uses it. conditions: rows (a Dataset too) of which each
    trajectory is drawn with one, uniformly with replacement, or a callable of (number, generator) that returns so many
    (see `svlearn.conditions`); others are another store. max_batch: at most so many states in one network call. path: ~
    is the home folder.
    times: of each trajectory keep x_t at so many times, drawn uniformly of 0 ... T - 1 without replacement from a
    stream of their own, or at these; the store then has states (N, n, ...) and times (N, n), takes n/(T + 1) of the
    room, and is data of `MonteCarloRegression` alone. The trajectories and their rewards are the same.
    Any number of processes, on hosts that share the path, collect together where they are given the same arguments, as
    under torchrun: each draws chunks that no other draws, waits for what others still draw, and draws what one that
    died has left. Where the file system has locks each chunk is drawn once; it is the same whoever draws it. What is
    complete is only read.
    Raises ValueError where `path` holds rollouts of other arguments (it says which), or corrupt ones, and for a reward,
    a proposal or conditions whose identity cannot be known; NonFiniteError, which is one, for a state with a NaN and a
    reward that is NaN or +inf; TypeError for a process that is not a `Reference`; OSError where `path` cannot be
    written.
    """
    q = None if proposal is None else as_proposal(proposal)
    source = Conditions.of(conditions)
    sources: dict[str, Any] = {"proposal": q, "conditions": source}
    request = _request("process", process, num_trajectories, target, batch_size, seed, **sources, times=times)
    if q is not None and times is not None:
        raise ValueError(f"times: expected None beside a proposal, whose weights are of whole ones, got {times}")
    rows_of = None if source is None else source.aligned(process.aligned)

    def draw(rows: slice, generator: torch.Generator) -> TensorDict:
        number = rows.stop - rows.start
        options: dict[str, Any] = {"condition": draw_rows(rows_of, number, generator), "generator": generator}
        if request.times is not None:
            chosen = seeded("cpu", request.seed, rows.start // request.batch_size, TIMES)
            options["times"] = times_of(request.times, number, request.num_steps, chosen)
        return roll_out(process, number, target=target, proposal=q, **options)

    return _fill(path, request, draw, device_of(process), progress, max_batch)


def collect_by_noising(
    reference: Reference,
    finished_states: State,
    path: str | os.PathLike,
    *,
    target: Target | None = None,
    start: State | None = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = True,
    max_batch: int | None = None,
) -> Rollouts:
    """Trajectories x_0 ... x_T that end in the given x_T (N, ...), by the forward process (see `roll_back`).

    start: x_0 (N, ...), for a process that reads there what its samples are conditioned on (see `Reference.noise`).
    The same store, and the same rules of resuming, as `collect`; the finished states and the start are among the
    arguments that must be the same. Raises TypeError where the reference has no `noise`, ValueError for another number
    of starts.
    """
    if start is not None and len(start) != len(finished_states):
        raise ValueError(f"start: expected {len(finished_states)} states, one for each that ends, got {len(start)}")
    request = _request("noising", reference, len(finished_states), target, batch_size, seed, (finished_states, start))
    check_has_noise(reference)

    def draw(rows: slice, generator: torch.Generator) -> TensorDict:
        own = None if start is None else start[rows]
        return roll_back(reference, finished_states[rows], target=target, start=own, generator=generator)

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
        if writer.missing():
            _draw_missing(writer, draw, device, progress)
    return Rollouts.open(path)


def _draw_missing(
    writer: Writer, draw: Callable[[slice, torch.Generator], TensorDict], device: torch.device, progress: bool
) -> None:
    request = writer.manifest.request
    with progress_of(
        total=request.num_trajectories,
        initial=writer.num_written(),
        disable=not progress,
        desc="collecting",
        unit="trajectory",
    ) as bar:
        for wait in (False, True):  # first what nobody draws, then what others have begun
            for chunk in writer.missing():
                rows = request.rows(chunk)
                with writer.claimed(chunk, wait=wait) as is_free:
                    if is_free:
                        try:
                            writer.write(chunk, draw(rows, seeded(device, request.seed, chunk)))
                        except Exception as error:
                            last = rows.stop - 1
                            error.add_note(f"in chunk {chunk}, trajectories {rows.start} to {last} of {writer.path}")
                            raise
                bar.update(writer.num_written() - bar.n)


def _request(
    kind: str,
    process: Reference,
    num_trajectories: int,
    target: Target | None,
    batch_size: int,
    seed: int,
    ends: tuple[State, State | None] | None = None,
    proposal: Proposal | None = None,
    conditions: Conditions | None = None,
    times: Any = None,
) -> Request:
    if not isinstance(process, Reference):
        raise TypeError(f"process: expected a Reference, got {type(process).__name__}")
    if target is not None and not isinstance(target, Target):
        raise TypeError(f"target: expected None or a Target, got {type(target).__name__}")
    used = target if proposal is not None and type(proposal).bind is not Proposal.bind else None
    return Request(
        kind=kind,
        num_trajectories=integer(num_trajectories, "num_trajectories"),
        num_steps=process.num_steps,
        batch_size=integer(batch_size, "batch_size"),
        seed=as_seed(seed),
        process=fingerprint(process),
        reward=None if target is None else _name(target),
        finished_states=None
        if ends is None
        else " ".join(fingerprint_of_states(each) for each in ends if each is not None),
        proposal=None if proposal is None else _name_of_proposal(proposal),
        process_identity=identity_of_process(process),
        reward_identity=None if target is None else _identity_of_reward(target),
        proposal_identity=None if proposal is None else identity((proposal, used), "proposal"),
        conditions_identity=None if conditions is None else _identity_of_conditions(conditions),
        times=as_times(times, process.num_steps),
    )


def _name(target: Target) -> str:
    if target.name is not None:
        return target.name
    return fingerprint(target.reward) if isinstance(target.reward, nn.Module) else type_name(target.reward)


def _identity_of_reward(target: Target) -> str:
    return identity(target.reward if target.name is None else target.name, "reward")


def _identity_of_conditions(conditions: Conditions) -> str:
    try:
        return identity(conditions.source, conditions.name)
    except ValueError as error:
        raise ValueError(
            f"{conditions.name}: expected some whose identity can be known, so that a store is not taken for that of "
            "others; give rows, or an object with __call__(number, generator) whose `name` (a str) says what it draws "
            f"from ({error})"
        ) from error


def _name_of_proposal(proposal: Proposal) -> str:
    held = [fingerprint(each) for each in vars(proposal).values() if isinstance(each, nn.Module)]
    return " ".join([type(proposal).__qualname__, *held])
