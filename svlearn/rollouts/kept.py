"""Which states of trajectories are kept as they are drawn: those of all times, or of some of each."""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import integer, integers, is_integer
from svlearn.randomness import rand
from svlearn.state import State
from svlearn.targets import NonFiniteError

Times = int | tuple[int, ...] | None


def as_times(times: Any, num_steps: int) -> Times:
    """How many times of each trajectory, or which: different ones of 0 ... T - 1, in order; else ValueError."""
    if times is None or is_integer(times):
        return None if times is None else integer(times, "times", 1, num_steps, optional=True)
    chosen = integers(times, "times", 0, num_steps - 1)
    if not chosen or len({*chosen}) < len(chosen):
        raise ValueError(f"times: expected different ones of 0 ... {num_steps - 1}, got {chosen}")
    return tuple(sorted(chosen))


def times_of(times: int | Sequence[int], number: int, num_steps: int, generator: torch.Generator) -> Tensor:
    """The times (number, n) of each trajectory in order, long: those given, or n of them drawn uniformly without
    replacement, so that n times the mean over them is unbiased for n/T times the sum over all."""
    if isinstance(times, int):
        keys = rand((number, num_steps), generator, generator.device, torch.float64)
        return keys.topk(times, dim=1).indices.sort(dim=1).values
    return torch.tensor(times, device=generator.device).expand(number, -1)


class AllTimes:
    """x_0 ... x_T as they come."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def add(self, t: int, x: State) -> None:
        """x_t of all trajectories (B, ...), in turn."""
        self.states.append(x)

    def entries(self) -> dict[str, Any]:
        """ "states" (B, T + 1, ...)."""
        return {"states": torch.stack(self.states, dim=1)}


class SomeTimes:
    """x_t at the times (B, n) of each trajectory, and no other states meanwhile."""

    def __init__(self, times: Tensor):
        self.times = times
        self.states: State | None = None

    def add(self, t: int, x: State) -> None:
        """x_t of all trajectories (B, ...)."""
        times = self.times.to(x.device)
        if self.states is None:
            self.states = torch.stack([x] * times.shape[1], dim=1)
        rows, places = (times == t).nonzero(as_tuple=True)
        if len(rows):
            self.states[rows, places] = x[rows]

    def entries(self) -> dict[str, Any]:
        """ "states" (B, n, ...) and "times" (B, n)."""
        return {"states": self.states, "times": self.times}


def labelled_states(trajectories: TensorDict) -> TensorDict:
    """Of B trajectories with n times each the B n states by themselves, with the reward of their trajectory: "states"
    (B n, ...), "times" (B n,) and "rewards" (B n,), data of `MonteCarloRegression`. Whole trajectories as they are."""
    if "times" not in trajectories:
        return trajectories
    states, times = trajectories["states"], trajectories["times"]
    if isinstance(states, TensorDict):
        states = states.auto_batch_size_(2)
    size, number = times.shape
    entries = {"states": states.flatten(0, 1), "times": times.flatten()}
    if "rewards" in trajectories:
        entries["rewards"] = trajectories["rewards"].repeat_interleave(number)
    return TensorDict(entries, batch_size=[size * number])


def check_kept(states: State, times: Tensor) -> None:
    """Raise NonFiniteError where a float of the states (B, n, ...) at the times (B, n) is NaN, at the first step."""
    leaves: Any = [states] if isinstance(states, Tensor) else states.values(True, True)
    floats = [leaf for leaf in leaves if leaf.is_floating_point()]
    if not floats or not bool(torch.stack([leaf.sum().double() for leaf in floats]).isnan().any()):
        return
    bad = torch.stack([leaf.isnan().flatten(2).any(dim=2) if leaf.dim() > 2 else leaf.isnan() for leaf in floats])
    rows, places = bad.any(dim=0).nonzero(as_tuple=True)
    if len(rows):
        at = times.to(rows.device)[rows, places]
        t = int(at.min())
        raise NonFiniteError(f"state: expected numbers at step {t}, got NaN at index {int(rows[at == t][0])}")
