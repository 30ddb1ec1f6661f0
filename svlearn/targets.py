"""Targets: a reward and a temperature, p*(x_T) ∝ p_ref(x_T) exp(r(x_T)/α), and the posteriors that are one."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import real
from svlearn.deferred_checks import check_finite, is_deferring
from svlearn.metering import count, current_max_batch
from svlearn.raising import noted
from svlearn.reward import WeightedSum, stands_in
from svlearn.state import State, device_of_state

FLOOR_NATS = -100.0


class NonFiniteError(ValueError, FloatingPointError):
    """A number that must be finite is not; `trajectories` are those it belongs to, where they are known."""

    trajectories: TensorDict | None = None


@dataclass(frozen=True)
class Target:
    """p*(x_T) ∝ p_ref(x_T) exp(r(x_T)/alpha).

    reward: a `Reward`, that is a callable of finished states (B, ...) that returns (B,) in reward units; -inf is legal
    (a constraint). A dict {reward: weight} stands for the weighted sum.
    alpha: the temperature, in reward units per nat, >= 0 (β of the RLHF papers is 1/alpha). alpha = 0 asks for the
    largest reward; samplers and objectives for which it has no meaning refuse it.
    floor: what a value puts in the place of a lower reward of a *predicted* sample at t < T, where it must stay
    finite; reward units. Default: -100 · alpha, that is e^-100 in probability (-1e4 for alpha = 0).
    name: what stored rollouts tell the reward apart by, in the place of its `svlearn.identity`; for a reward that has
    none, and to be changed with what the reward does. `dataclasses.replace(target, name=...)` names one that is there.
    """

    reward: Callable
    alpha: float
    floor: float | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.reward, Mapping):
            object.__setattr__(self, "reward", WeightedSum(self.reward))
        if not callable(self.reward):
            raise TypeError(f"reward: expected a callable of states, got {type(self.reward).__name__}")
        if self.name is not None and not (isinstance(self.name, str) and self.name):
            raise TypeError(f"name: expected None or a text, got {self.name!r}")
        object.__setattr__(self, "alpha", real(self.alpha, "alpha", least=0))
        if self.floor is None:
            object.__setattr__(self, "floor", FLOOR_NATS * self.alpha if self.alpha > 0 else -1e4)
        else:
            object.__setattr__(self, "floor", real(self.floor, "floor"))

    def __call__(self, x: State, t: int | str | Tensor = "T") -> Tensor:
        """r(x), (B,), checked and counted. t, one for all or (B,), only tells an error at which step x was predicted.

        It has a gradient only where one is asked for: where gradients are on and x requires one. What a reward computes
        with gradients of its own accord, or through parameters of its own, is detached.
        Raises ValueError for a wrong shape, NaN or +inf (naming the index), TypeError for what is not a tensor. A
        finished state with a NaN is refused before the reward sees it: NaN > 0.5 is False, and that of a broken network
        would be scored as if it were a sample.
        """
        if isinstance(t, str):
            check_no_nan(x, t)
        size = len(x)
        if not stands_in(self.reward):
            count("reward_calls", size)
        limit = current_max_batch()
        if limit is None or size <= limit:
            return self._evaluate(x, t, 0)
        parts = []
        for start in range(0, size, limit):
            cut = slice(start, start + limit)
            parts.append(self._evaluate(x[cut], t[cut] if isinstance(t, Tensor) else t, start))
        return torch.cat(parts)

    def floored(self, x: State, t: int | str | Tensor) -> Tensor:
        """max(r(x), floor), finite: what a value at t < T may say of a predicted sample."""
        return self(x, t).clamp(min=self.floor)

    def _evaluate(self, x: State, t: int | str | Tensor, start: int) -> Tensor:
        with noted("reward", self.reward, x):
            rewards = self.reward(x)
        check_scalars(rewards, len(x), "reward", t, start)
        if rewards.requires_grad and not (torch.is_grad_enabled() and _requires_grad(x)):
            rewards = rewards.detach()
        dtype = rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()
        return rewards.to(device_of_state(x), dtype)


def _requires_grad(x: State) -> bool:
    leaves = [x] if isinstance(x, Tensor) else x.values(True, True)
    return any(leaf.requires_grad for leaf in leaves)


def check_scalars(
    values: Tensor, batch_size: int, name: str, t: int | str | Tensor, start: int = 0, finite: bool = False
) -> None:
    """Raise unless `values` is a float tensor (B,) without NaN and +inf (and, where `finite`, without -inf).

    t: the step, or that of each value (B,). The numbers raise NonFiniteError, which is a ValueError, at once or at the
    end of a run (see `svlearn.deferred_checks`).
    """
    if not isinstance(values, Tensor):
        came = type(values).__name__
        advice = "; torch.as_tensor(...) makes one of it" if came in ("ndarray", "list", "tuple") else ""
        raise TypeError(f"{name}: expected a torch.Tensor of shape ({batch_size},), got {came}{advice}")
    if values.shape != (batch_size,):
        advice = "; squeeze its last dimension" if values.shape == (batch_size, 1) else ""
        expected = f"expected shape ({batch_size},), one number a state, at step {_step(t, 0)}"
        raise ValueError(f"{name}: {expected}, got {tuple(values.shape)}{advice}")
    if values.is_complex():
        raise TypeError(f"{name}: expected real numbers, got a tensor of {values.dtype}")
    values = values.clone() if is_deferring() else values  # who made them may write there before anybody looks

    def look() -> None:
        bad = ~torch.isfinite(values) if finite else torch.isnan(values) | (values == math.inf)
        if bool(bad.any()):
            index = int(bad.nonzero()[0])
            expected = "a finite number" if finite else "a number or -inf"
            actual = f"{values[index].item()} at index {start + index}"
            raise NonFiniteError(f"{name}: expected {expected} at step {_step(t, index)}, got {actual}")

    check_finite(values.sum(), look)  # one number that is not makes the sum so; the reverse is looked into


def check_no_nan(x: State, t: int | str) -> None:
    """Raise NonFiniteError, with the step and the first such row, where a float of states (B, ...) is NaN.

    An infinite one passes, for a mask may hold it.
    """
    leaves: Any = [x] if isinstance(x, Tensor) else x.values(include_nested=True, leaves_only=True)
    for leaf in leaves:
        if leaf.is_floating_point():
            check_finite(leaf.sum(), partial(_refuse_nan, leaf, t))


def _refuse_nan(leaf: Tensor, t: int | str) -> None:
    bad = leaf.isnan().reshape(len(leaf), -1).any(dim=1)
    if bool(bad.any()):  # else the sum is that of infinities
        raise NonFiniteError(f"state: expected numbers at step {t}, got NaN at index {int(bad.nonzero()[0])}")


def refuses_gradient(error: Exception) -> bool:
    """Whether torch raised it because states that require a gradient went where none can follow, as in x.numpy()."""
    return re.search(r"(?<!not )requires?[ _]grad", str(error)) is not None


def _step(t: int | str | Tensor, index: int) -> int | str:
    return int(t[index]) if isinstance(t, Tensor) else t


def likelihood(log_likelihood: Callable[[State], Tensor]) -> Target:
    """p*(x) ∝ p_ref(x) p(y|x): the posterior of an observation or a class; log_likelihood (B,), nats; alpha = 1."""
    return Target(log_likelihood, alpha=1.0)


def constraint(predicate: Callable[[State], Tensor], floor: float = math.log(1e-4)) -> Target:
    """p*(x) ∝ p_ref(x) 1[predicate(x)]: the reference given an event; predicate returns (B,) bool; alpha = 1.

    floor: log-probability (nats) that a sample meets the constraint although its prediction does not.
    """

    def log_indicator(x: State) -> Tensor:
        holds = predicate(x)
        if not isinstance(holds, Tensor) or holds.dtype != torch.bool:
            raise TypeError(f"predicate: expected a bool tensor (B,), got {getattr(holds, 'dtype', type(holds))}")
        return torch.where(holds, 0.0, -math.inf)

    return Target(log_indicator, alpha=1.0, floor=floor)


def unnormalized_density(log_density: Callable[[State], Tensor], log_reference: Callable[[State], Tensor]) -> Target:
    """p*(x) ∝ π̃(x): r = log π̃(x) - log p_ref(x), both (B,) in nats, alpha = 1; Z is then that of π̃."""
    return Target(lambda x: log_density(x) - log_reference(x), alpha=1.0)
