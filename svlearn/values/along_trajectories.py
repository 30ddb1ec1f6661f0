"""What values say along finished trajectories, beside the rewards that came of them."""

from collections.abc import Iterator, Sequence

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.metering import metered
from svlearn.process import Reference, predict
from svlearn.randomness import device_of
from svlearn.values.value import Value, evaluate


def finite_rewards(reference: Reference, trajectories: TensorDict, rewards: Tensor | None) -> tuple[Tensor, Tensor]:
    """The rewards (N,), float64, of trajectories or those given in their place, and which of them are finite (N,).

    Raises ValueError unless "states" is (N, T + 1, ...), the rewards are (N,) and at least two are finite.
    """
    states, steps = trajectories["states"], reference.num_steps
    rewards = trajectories["rewards"] if rewards is None else rewards
    size = len(states)
    if tuple(states.shape[:2]) != (size, steps + 1):
        raise ValueError(f"trajectories['states']: expected (N, {steps + 1}, ...), got {tuple(states.shape)}")
    if rewards.shape != (size,):
        raise ValueError(f"rewards: expected shape ({size},), got {tuple(rewards.shape)}")
    rewards = rewards.to(device_of(reference)).double()
    kept = torch.isfinite(rewards)
    if int(kept.sum()) < 2:
        raise ValueError(f"rewards: expected at least 2 finite ones, got {int(kept.sum())} of {size}")
    return rewards, kept


@torch.no_grad()
def along_trajectories(
    values: Sequence[Value],
    reference: Reference,
    trajectories: TensorDict,
    *,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """t = 0 ... T - 1, and v_t(x_t) of each of the n values for each of the N trajectories, (n, N), float64.

    The reference is called once a state, and only where a value reads its prediction.
    """
    device = device_of(reference)
    for t in range(reference.num_steps):
        x = trajectories["states"][:, t].to(device)
        with metered(max_batch):
            reads = any(value.reads(t) for value in values)
            prediction = predict(reference, x, t) if reads else None
            said = [evaluate(value, x, t, prediction, generator=generator).double() for value in values]
        yield t, torch.stack(said)
