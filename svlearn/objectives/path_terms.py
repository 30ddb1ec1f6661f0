"""What a value and a policy say along trajectories: the terms that path consistency puts together."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from svlearn.policies import Policy
from svlearn.process import Reference, predict
from svlearn.state import State, concatenate, device_of_state
from svlearn.targets import check_scalars
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

    The reference is called once per state, and not at all where neither the policy nor the value reads it. Steps
    share a call, as many as make up to ROWS states of it. Raises ValueError, with the step and the index, where q or
    p_ref cannot make a move.
    """
    together = max(1, ROWS // len(states))
    steps = torch.arange(reference.num_steps, device=device_of_state(states)).split(together)
    read = set() if value is None else set(times)
    parts = [_of_steps(states, some, reference, policy, value, read, generator) for some in steps]
    values, log_ratios = (torch.cat(part) for part in zip(*parts, strict=True))
    return values, log_ratios


def _of_steps(
    states: State,
    steps: Tensor,
    reference: Reference,
    policy: Policy | None,
    value: Value | None,
    times: set[int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The same of consecutive steps (k,), (k, B) each."""
    size, moments = len(states), steps.tolist()
    nothing = torch.zeros(len(moments), size, dtype=torch.float64, device=steps.device)
    valued = [t for t in moments if t in times]
    reading = policy is not None or (value is not None and value.needs_prediction)
    predicted = valued if policy is None else moments
    prediction, log_ratios, values = None, nothing, list(nothing)
    if predicted and reading:
        x = concatenate([states[:, t] for t in predicted])
        t = steps.new_tensor(predicted).repeat_interleave(size)
        with torch.no_grad():
            prediction = predict(reference, x, t)
        if policy is not None:
            law, x_next = policy.steer(prediction, x, t), concatenate([states[:, t + 1] for t in moments])
            log_ratios = law.log_ratio(prediction.transition, x_next).double().view(len(moments), size)
            for step, ratios in zip(moments, log_ratios, strict=True):
                check_scalars(ratios, size, "log q - log p_ref", step, finite=True)
    for step in valued:
        place = predicted.index(step)
        given = None if prediction is None else prediction[place * size : (place + 1) * size]
        found = evaluate(cast(Value, value), states[:, step], step, given, generator=generator)
        values[step - moments[0]] = found.double()
    return torch.stack(values), log_ratios
