"""How well a value foresees the reward: v_t(x_t) against r(x_T) along finished trajectories."""

import math

import pandas as pd
import torch
from tensordict import TensorDict
from torch import Tensor
from torchmetrics import PearsonCorrCoef, R2Score

from svlearn.arguments import real
from svlearn.modes import in_evaluation
from svlearn.process import Reference
from svlearn.values.along_trajectories import along_trajectories, finite_rewards
from svlearn.values.value import Value

COLUMNS = ["t", "pearson", "r2", "mean_absolute_error", "mean_squared_error", "bias", "spread"]


@in_evaluation
def calibrate(
    value: Value,
    reference: Reference,
    trajectories: TensorDict,
    *,
    rewards: Tensor | None = None,
    alpha: float | None = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> pd.DataFrame:
    """One row per t = 0 ... T - 1: how v_t(x_t) agrees with r(x_T) over N trajectories of the reference.

    trajectories: "states" (N, T + 1, ...) and "rewards" (N,), reward units; rewards: (N,), in the place of those.
    generator: for a value that is random.

    pearson  correlation, blind to scale and shift; NaN where the value (or the reward) is constant, as at a fixed x_0
    r2       1 - Σ(r - v)²/Σ(r - mean r)², that of v as a prediction of r: at best the explained variance of
             E[r | x_t], below 0 for one worse than the mean of r; NaN for a constant reward
    mean_absolute_error, mean_squared_error, bias  mean of |v - r|, (v - r)² and v - r, in reward units, their square
    spread   std(v)/std(r). For v = E[r | x_t] it is pearson; above it, v makes too much of its differences, below it
             too little: (pearson - spread)² is the share of Var[r] that a straight line through v would win back

    Trajectories whose reward is -inf are left out. A mean value is at best for r2; a soft one lies above it on
    purpose: alpha > 0 judges it as the soft value of that temperature. Every figure but bias is then of exp(v/α) as a
    prediction of exp(r/α), both over their means, since a constant in v moves no sampler; rewards of -inf count, and
    bias is α log E[exp(v/α)] - α log E[exp(r/α)], 0 for v_t.
    Raises ValueError for a wrong shape, fewer than two finite rewards and alpha <= 0.
    """
    alpha = None if alpha is None else real(alpha, "alpha")
    if alpha is not None and not alpha > 0:
        raise ValueError(f"alpha: expected None or a number above 0, got {alpha}")
    rewards, kept = finite_rewards(reference, trajectories, rewards)
    rows = []
    for t, (said,) in along_trajectories([value], reference, trajectories, generator=generator, max_batch=max_batch):
        if alpha is None:
            rows.append((t, *agreement(said[kept], rewards[kept])))
        else:
            one, other = said / alpha, rewards / alpha
            bias = alpha * float(one.logsumexp(dim=0) - other.logsumexp(dim=0))
            found = agreement(*(len(each) * each.softmax(dim=0) for each in (one, other)))
            rows.append((t, *found[:-2], bias, found[-1]))
    return pd.DataFrame(rows, columns=COLUMNS)


def agreement(values: Tensor, rewards: Tensor) -> tuple[float, ...]:
    """pearson, r2, mean absolute and squared error, bias and spread of predictions (N,) of rewards (N,), N >= 2.

    In float64; see `calibrate`.
    """
    gaps = values - rewards
    errors = float(gaps.abs().mean()), float(gaps.square().mean()), float(gaps.mean())
    if _constant(rewards):
        return math.nan, math.nan, *errors, math.nan
    r2 = float(R2Score().to(values.device, torch.float64)(values, rewards))
    if _constant(values):
        return math.nan, r2, *errors, 0.0
    # torchmetrics distrusts small variances; the correlation does not depend on the scale, so give it 1
    pearson = PearsonCorrCoef().set_dtype(torch.float64).to(values.device)
    correlation = float(pearson(_standardized(values), _standardized(rewards)))
    return correlation, r2, *errors, float(values.std() / rewards.std())


def _constant(values: Tensor) -> bool:
    rounding = 8 * torch.finfo(values.dtype).eps * values.abs().max()
    return bool(values.max() - values.min() <= rounding)


def _standardized(values: Tensor) -> Tensor:
    centred = values - values.mean()
    return centred / centred.std()
