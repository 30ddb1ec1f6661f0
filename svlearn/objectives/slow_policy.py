"""A slow copy of a policy: what is trained is held twice, all else is shared."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from svlearn.arguments import is_number, real
from svlearn.compiled import plain, plain_copy
from svlearn.policies import Policy


@dataclass(frozen=True)
class Decay:
    """How much of itself a slow copy keeps at step i = 0, 1, ...: min(rate · i, most)."""

    rate: float
    most: float

    @classmethod
    def of(cls, decay: float | Sequence[float]) -> "Decay":
        """Of a number in [0, 1], the same at every step, or of (rate, most)."""
        if is_number(decay):
            return cls(math.inf, real(decay, "decay", 0, 1))
        parts = [decay] if isinstance(decay, str) or not isinstance(decay, Sequence) else list(decay)
        if len(parts) != 2:
            raise ValueError(f"decay: expected a number in [0, 1], or (rate, most), got {decay!r}")
        return cls(*(real(each, "decay", 0, 1) for each in parts))

    @property
    def holds(self) -> bool:
        """Whether the copy never moves."""
        return self.rate == math.inf and self.most == 1

    def at(self, step: int) -> float:
        return self.most if self.rate == math.inf else min(self.rate * step, self.most)


def slow_copy(policy: Policy) -> Policy:
    """A copy that is not trained, in evaluation mode; the reference and all frozen parameters are the policy's own."""
    trained = {id(each) for each in policy.trained()}
    shared: dict[int, Any] = {id(each): each for each in policy.parameters() if id(each) not in trained}
    shared[id(policy.reference)] = policy.reference
    slow = plain_copy(policy, shared)
    for _, copied, _ in _pairs(slow, policy):
        copied.requires_grad_(False)
    return slow.eval()


@torch.no_grad()
def follow(slow: Policy, policy: Policy, decay: float) -> None:
    """slow ← decay · slow + (1 - decay) · policy, of what is trained; buffers are copied."""
    for _, copied, current in _pairs(slow, policy):
        if decay == 0:
            copied.copy_(current)
        else:
            copied.lerp_(current, 1 - decay)
    for (name, kept), latest in zip(slow.named_buffers(), policy.buffers(), strict=True):
        if not name.startswith("reference."):
            kept.copy_(latest)


def own_names(slow: Policy, policy: Policy) -> set[str]:
    """The names in the slow copy's state_dict of what it does not share."""
    buffers = {name for name, _ in slow.named_buffers() if not name.startswith("reference.")}
    return {name for name, _, _ in _pairs(slow, policy)} | buffers


def _pairs(slow: Policy, policy: Policy) -> Iterator[tuple[str, nn.Parameter, nn.Parameter]]:
    """By name, each parameter that is held twice: the copy and the policy's."""
    for (name, copied), current in zip(slow.named_parameters(), plain(policy).parameters(), strict=True):
        if copied is not current:
            yield name, copied, current
