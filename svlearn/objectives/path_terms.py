"""What a value and a policy say along trajectories: the terms that path consistency puts together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from svlearn.inference import proposals
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.targets import check_scalars
from svlearn.trajectories import Calls, Piece, in_one_pass, pieces_along, predictions_at
from svlearn.transitions import Transition
from svlearn.values.value import Value, evaluate

ROWS = 4096  # states in one call


def path_terms(
    states: State,
    reference: Reference,
    policy: Policy | None,
    value: Value | None,
    times: Sequence[int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """v_t(x_t), (T, B), reward units, at the given times and 0 at others or without a value; and log q/p_ref of every
    move, (T, B), nats, 0 without a policy; float64, of x_0 ... x_T (B, T + 1, ...).

    The reference is called once per state, and not at all where neither the policy nor the value reads it; steps share
    a call as `trajectories.pieces_along` says. Raises ValueError, with the step and the index, where q or p_ref cannot
    make a move.
    """
    size, read = len(states), set() if value is None else set(times)
    reading = value is not None and value.needs_prediction
    nothing = torch.zeros(size, dtype=torch.float64, device=device_of_state(states))

    def valued(t: int, prediction: Prediction | None) -> Tensor:
        if t not in read:
            return nothing
        return evaluate(cast(Value, value), states[:, t], t, prediction, generator=generator).double()

    if policy is None and not (reading and in_one_pass(reference, read)):
        predictions = predictions_at(reference, states, sorted(read) if reading else [])
        own_values = torch.stack([valued(t, each) for t, each in enumerate(predictions)])
        return own_values, torch.zeros_like(own_values)
    values, log_ratios = [], []
    for piece, ratios in moves_along(reference, policy, states, ROWS):
        log_ratios.append(ratios)
        for place, t in enumerate(piece.steps):
            check_scalars(ratios[place], size, "log q - log p_ref", t, finite=True)
            rows = slice(place * size, (place + 1) * size)
            values.append(valued(t, piece.predictions[0][rows] if reading and t in read else None))
    return torch.stack(values), torch.cat(log_ratios)


def moves_along(
    reference: Reference,
    policy: Policy | None,
    states: State,
    most: int,
    after: State | None = None,
    mask: Tensor | None = None,
) -> Iterator[tuple[Piece, Tensor]]:
    """The pieces of x_0 ... x_T (B, T + 1, ...) with log q(x_{t+1}|x_t) - log p_ref of their moves, (k, B), float64.

    after (B, T, ...): where to each x_t moves, if not along its trajectory. mask (B, T), bool: the moves that are
    asked for, 0 at others, which need not be possible (None: all). The gradient is that in the policy's parameters;
    the reference runs without. A policy that corrects is called at the reference's prediction; one with a network of
    its own along the trajectory, as the reference. Without a policy all are 0.
    """
    after, size = states[:, 1:] if after is None else after, len(states)
    for piece, law in laws_along(reference, policy, states, most):
        own, steps = piece.predictions[0], len(piece.steps)
        ratios = torch.zeros(steps * size, dtype=torch.float64, device=piece.t.device)
        if law is not own.transition:
            x_next = concatenate([after[:, t] for t in piece.steps])
            some = None if mask is None else mask[:, piece.steps.start : piece.steps.stop].T.flatten()
            if some is None or bool(some.all()):
                ratios = law.log_ratio(own.transition, x_next).double()
            elif bool(some.any()):
                rows = some.nonzero().flatten()
                moved = law[rows].log_ratio(own.transition[rows], take(x_next, rows)).double()
                ratios = ratios.index_put((rows,), moved)
        yield piece, ratios.view(steps, size)


def laws_along(
    reference: Reference, policy: Policy | None, states: State, most: int
) -> Iterator[tuple[Piece, Transition]]:
    """The pieces of x_0 ... x_T (B, T + 1, ...), the reference's predictions first, with the policy's law at each of
    their states; without a policy the reference's. Gradients and calls as `moves_along`."""
    calls = [Calls(reference)]
    steer = None if policy is None else proposals.Policy(policy).transition
    if policy is not None and not policy.corrects:
        calls.append(Calls(policy, "policy_calls", gradient=True))
    for piece in pieces_along(calls, states, most):
        own = piece.predictions[0]
        prediction = own if len(calls) == 1 else replace(own, policy=piece.predictions[1])
        yield piece, own.transition if steer is None else steer(piece.x, piece.t, prediction)
