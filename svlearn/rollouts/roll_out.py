"""Whole trajectories in memory: forward by a process, or backward from finished states by its noise."""

import torch
from tensordict import TensorDict

from svlearn.process import Prediction, Reference, has, predict
from svlearn.randomness import device_of, resolve_generator
from svlearn.state import State, times
from svlearn.targets import Target


@torch.no_grad()
def roll_out(
    process: Reference,
    batch_size: int,
    *,
    target: Target | None = None,
    generator: torch.Generator | None = None,
    condition: State | None = None,
    kind: str = "reference_calls",
) -> TensorDict:
    """Draw trajectories x_0 ~ p_0, x_{t+1} ~ p(· | x_t) of a reference or a policy; T calls a trajectory.

    Returns "states" (B, T + 1, ...), where ["states"][:, t] is x_t, and, with a target, "rewards" (B,), reward units.
    condition: B rows of what the samples are conditioned on. kind: what a call counts as (see `metering.KINDS`).
    Raises ValueError for an empty batch, a condition of another length, and a reward that is NaN or +inf.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size: expected an integer of at least 1, got {batch_size!r}")
    if condition is not None and len(condition) != batch_size:
        raise ValueError(f"condition: expected {batch_size} rows, one a trajectory, got {len(condition)}")
    generator = resolve_generator(generator, device_of(process))
    given = {} if condition is None else {"condition": condition}
    states = [process.initial(batch_size, generator=generator, **given)]
    prediction: Prediction | None = None
    for t in range(process.num_steps):
        prediction = predict(process, states[-1], t, prediction, kind)
        states.append(prediction.transition.sample(generator=generator))
    return _trajectories(states, target)


@torch.no_grad()
def roll_back(
    reference: Reference,
    finished_states: State,
    *,
    target: Target | None = None,
    generator: torch.Generator | None = None,
) -> TensorDict:
    """Draw trajectories that end in the given x_T (B, ...): x_t ~ noise(x_{t+1}, t + 1, t), t = T - 1 ... 0.

    No call of the network (SVDD, arXiv 2408.08252, remark 1). Returns the same as `roll_out`. Its law is that of
    p_ref where p_ref is the exact reversal of the forward process and the finished states are drawn from it.
    Raises TypeError where the reference has no `noise`, ValueError for a reward that is NaN or +inf.
    """
    check_has_noise(reference)
    device = device_of(reference)
    generator = resolve_generator(generator, device)
    states = [finished_states.to(device)]
    for t in reversed(range(reference.num_steps)):
        now, earlier = (times(step, len(finished_states), device) for step in (t + 1, t))
        states.append(reference.noise(states[-1], now, earlier, generator=generator))
    return _trajectories(states[::-1], target)


def check_has_noise(reference: Reference) -> None:
    """Raise TypeError unless the reference defines the forward process."""
    if not has(reference, "noise"):
        name = type(reference).__name__
        raise TypeError(f"reference: expected one with a forward process, got {name} without noise()")


def _trajectories(states: list[State], target: Target | None) -> TensorDict:
    batch = {"states": torch.stack(states, dim=1)}
    if target is not None:
        batch["rewards"] = target(states[-1])
    return TensorDict(batch, batch_size=[len(states[0])])
