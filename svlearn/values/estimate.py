"""From the rewards of several finished samples of a state to its value."""

import math
from functools import partial

from torch import Tensor

from svlearn.deferred_checks import check_finite
from svlearn.targets import Target
from svlearn.values.value import check_estimand


def estimate(rewards: Tensor, target: Target, estimand: str) -> Tensor:
    """What the rewards (B, n) of n finished samples say of v_t, (B,), reward units.

    "soft": α log (1/n) Σ exp(r_i/α), raised to the target's floor where it is lower; it underestimates v_t at finite
    n (Jensen), while its exponential is unbiased. "mean": (1/n) Σ r_i, unbiased for v'_t; ValueError where an r_i
    is -inf.
    """
    if estimand == "mean":
        means = rewards.mean(dim=1)
        check_finite(means.sum(), partial(_refuse_forbidden, rewards))
        return means
    soft = target.alpha * ((rewards.double() / target.alpha).logsumexp(dim=1) - math.log(rewards.shape[1]))
    return soft.clamp(min=target.floor)


def _refuse_forbidden(rewards: Tensor) -> None:
    if bool((rewards == -math.inf).any()):
        raise ValueError("estimand: the mean of a reward that is -inf does not exist; use 'soft'")


def estimand_of(estimand: str, target: Target) -> str:
    """Return it, or raise ValueError where it is unknown, or soft at α = 0."""
    if check_estimand(estimand) == "soft" and target.alpha == 0:
        raise ValueError("estimand: the soft value needs alpha > 0, got alpha = 0; use 'mean'")
    return estimand
