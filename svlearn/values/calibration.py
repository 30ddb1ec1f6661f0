"""How well a value foresees the reward: v_t(x_t) against r(x_T) along finished trajectories."""

import math

import pandas as pd
import torch
from tensordict import TensorDict
from torch import Tensor
from torchmetrics import PearsonCorrCoef, R2Score

from svlearn.metering import metered
from svlearn.process import Reference, predict
from svlearn.randomness import device_of
from svlearn.values.value import Value, evaluate

COLUMNS = ["t", "pearson", "r2", "mean_absolute_error"]


@torch.no_grad()
def calibrate(
    value: Value,
    reference: Reference,
    trajectories: TensorDict,
    *,
    rewards: Tensor | None = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> pd.DataFrame:
    """One row per t = 0 ... T - 1: how v_t(x_t) agrees with r(x_T) over N trajectories of the reference.

    trajectories: "states" (N, T + 1, ...) and "rewards" (N,), reward units; rewards: (N,), in the place of those.
    Trajectories whose reward is -inf are left out. generator: for a value that is random.

    pearson  correlation, blind to scale and shift; NaN where the value (or the reward) is constant, as at a fixed x_0
    r2       1 - Σ(r - v)²/Σ(r - mean r)², that of v as a prediction of r: at best the explained variance of
             E[r | x_t], below 0 for one worse than the mean of r; NaN for a constant reward
    mean_absolute_error  mean |r - v|, reward units

    A mean value is at best for r2; a soft one lies above it on purpose, so only pearson judges it.
    Raises ValueError for a wrong shape and fewer than two finite rewards.
    """
    states = trajectories["states"]
    rewards = trajectories["rewards"] if rewards is None else rewards
    steps, size = reference.num_steps, len(states)
    if tuple(states.shape[:2]) != (size, steps + 1):
        raise ValueError(f"trajectories['states']: expected (N, {steps + 1}, ...), got {tuple(states.shape)}")
    if rewards.shape != (size,):
        raise ValueError(f"rewards: expected shape ({size},), got {tuple(rewards.shape)}")
    device = device_of(reference)
    rewards = rewards.to(device).double()
    kept = torch.isfinite(rewards)
    if int(kept.sum()) < 2:
        raise ValueError(f"rewards: expected at least 2 finite ones, got {int(kept.sum())} of {size}")
    rows = []
    with metered(max_batch):
        for t in range(steps):
            x = states[:, t].to(device)
            prediction = predict(reference, x, t) if value.needs_prediction else None
            values = evaluate(value, x, t, prediction, generator=generator).double()
            rows.append((t, *agreement(values[kept], rewards[kept])))
    return pd.DataFrame(rows, columns=COLUMNS)


def agreement(values: Tensor, rewards: Tensor) -> tuple[float, float, float]:
    """pearson, r2 and mean absolute error of predictions (N,) of rewards (N,), float64, N >= 2."""
    error = float((values - rewards).abs().mean())
    if _constant(rewards):
        return math.nan, math.nan, error
    r2 = float(R2Score().to(values.device, torch.float64)(values, rewards))
    if _constant(values):
        return math.nan, r2, error
    # torchmetrics distrusts small variances; the correlation does not depend on the scale, so give it 1
    pearson = PearsonCorrCoef().set_dtype(torch.float64).to(values.device)
    return float(pearson(_standardized(values), _standardized(rewards))), r2, error


def _constant(values: Tensor) -> bool:
    rounding = 8 * torch.finfo(values.dtype).eps * values.abs().max()
    return bool(values.max() - values.min() <= rounding)


def _standardized(values: Tensor) -> Tensor:
    centred = values - values.mean()
    return centred / centred.std()
