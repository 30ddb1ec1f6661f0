"""What values say along finished trajectories, beside the rewards that came of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.metering import metered
from svlearn.process import Reference
from svlearn.randomness import device_of
from svlearn.state import State
from svlearn.trajectories import predictions_at
from svlearn.values.children import asks_parents, evaluate_children, reads_candidates
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

    The reference is called once a state, and only where a value reads its prediction, but all along the trajectories
    where `trajectories.in_one_pass` says so. A value that asks the predictions of parents (`Value.of_children`) is
    asked so from t = 1 on, as a sampler asks it.
    """
    states: Any = OnDevice(trajectories["states"], device_of(reference))
    steps = range(reference.num_steps)
    of_parents = {t - 1 for t in steps for value in values if asks_parents(value, t)}
    read = [t for t in steps if t in of_parents or any(reads_candidates(value, t) for value in values)]
    predictions, before = predictions_at(reference, states, read), None
    for t in steps:
        with metered(max_batch):
            prediction, x, said = next(predictions), states[:, t], []
            for value in values:
                if before is not None and asks_parents(value, t):
                    said.append(evaluate_children(value, x, t, before).double())
                else:
                    said.append(evaluate(value, x, t, prediction, generator=generator).double())
        before = prediction
        yield t, torch.stack(said)


class OnDevice:
    """Stored trajectories of which what is looked at is brought to a device, and no more."""

    def __init__(self, states: State, device: torch.device):
        self.states, self.device = states, device

    def __len__(self) -> int:
        return len(self.states)

    @property
    def shape(self) -> torch.Size:
        return self.states.shape

    def __getitem__(self, index: Any) -> State:
        return self.states[index].to(self.device)
