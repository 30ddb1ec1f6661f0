"""What a reward must do: one number a row, each by itself, and nothing to the states."""

from functools import partial
from typing import Any

import torch

from svlearn.arguments import expect
from svlearn.modes import evaluating
from svlearn.placement import at_home
from svlearn.process import Reference
from svlearn.reward import forget
from svlearn.state import State, take
from svlearn.targets import Target
from svlearn.testing.findings import Findings, close, numbers, same
from svlearn.testing.reference import steps_of


@torch.no_grad()
def check_reward(reward: Any, reference: Reference, *, states: State | None = None, condition: Any = None) -> None:
    """Try a reward, or that of a `Target`, on finished states (B, ...), B >= 3; without any on four of the reference.

    One number a row or -inf; of chosen rows, and of one alone, those of the rows; the same twice, after `forget` too;
    the states as they came. What it says of itself is what `Reward` allows.
    Raises TypeError for what cannot be called, ValueError with all that is wrong, one line each.
    """
    reward = reward.reward if isinstance(reward, Target) else reward
    if not callable(reward):
        raise TypeError(f"reward: expected a callable of states, got {type(reward).__name__}")
    expect(reference, Reference, "reference")
    findings, name = Findings(), getattr(reward, "__name__", type(reward).__name__)
    with evaluating(reward, reference), at_home(reference, Target(reward, 1.0), check="every"):
        x = steps_of(reference, condition)[-1][0] if states is None else states
        _check(findings, reward, x, name)
    for attribute in ("asynchronous", "reads_one_hot"):
        if not isinstance(getattr(reward, attribute, False), bool):
            findings.wrong(f"{name}.{attribute}: expected True or False, got {getattr(reward, attribute)!r}")
    if not isinstance(getattr(reward, "name", ""), (str, type(None))):
        findings.wrong(
            f"{name}.name: expected a text, by which stored rollouts tell rewards apart, got {reward.name!r}"
        )
    findings.finish(f"check_reward: {name}")


def _check(findings: Findings, reward: Any, x: State, name: str) -> None:
    size, copy = len(x), x.clone()
    rewards = findings.attempt(name, lambda: reward(copy))
    if rewards is None:
        return
    if not isinstance(rewards, torch.Tensor):
        findings.wrong(
            f"{name}: expected a torch.Tensor (B,), got {type(rewards).__name__}; write torch.as_tensor(...)"
        )
        return
    rewards = rewards if rewards.is_complex() else rewards.double()  # counts and truth values are numbers too
    if not numbers(findings, rewards, size, name):
        return
    if not same(x, copy):
        findings.wrong(f"{name}: expected the states as they came, got them changed; write to a clone of them")
    rows = torch.tensor([size - 1, 0, 0], device=rewards.device)
    for kind, index in (("of chosen rows their own numbers", rows), ("of one row its own number", rows[:1])):
        forget(reward)
        parts = findings.attempt(name, partial(_of_rows, reward, x, index))
        if parts is not None and (parts.shape != index.shape or not close(parts, rewards[index])):
            got = f"shape {tuple(parts.shape)}" if parts.shape != index.shape else "others"
            findings.wrong(
                f"{name}: expected {kind}, got {got}; a reward scores each state by itself, the same each time"
            )
            return


def _of_rows(reward: Any, x: State, index: torch.Tensor) -> torch.Tensor:
    return reward(take(x, index)).double()
