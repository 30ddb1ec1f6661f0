"""The figures of one sampler: its rewards with their uncertainty, its weighted particles, and what it cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from svlearn.inference.samples import Samples
from svlearn.metering import KINDS, Cost

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
QUANTILES = {"reward_quantile_80": 0.8, "reward_quantile_90": 0.9}
GROUP_FIGURES = (
    "weighted_mean_reward",
    "weighted_mean_reward_standard_error",
    "dead_group_fraction",
    "log_normalizer_nats",
    "log_normalizer_standard_error_nats",
)
OWN_FIGURES = frozenset(
    (
        *(f"{name}{end}" for name in ("mean_reward", *QUANTILES) for end in ("", "_low", "_high")),
        "mean_reward_standard_error",
        "minus_infinity_fraction",
        "mean_finite_reward",
        "mean_finite_reward_standard_error",
        "mean_reward_spread_over_seeds",
        *GROUP_FIGURES,
        *(f"{kind}_per_sample" for kind in KINDS),
        "seconds_per_sample",
        "peak_memory_mib",
        "num_samples",
        "num_seeds",
    )
)  # all that a comparison gives; other columns are the reference's


@dataclass(frozen=True)
class Groups:
    """What is kept of the weighted particles of one sampler, over all seeds (G groups).

    weighted_means (G,): Σ_k w_k r_k, reward units, NaN for a group that died, None where a group is one particle;
    log_normalizers (G,), nats, or None.
    """

    weighted_means: Floats | None
    log_normalizers: Floats | None


def reward_figures(rewards: Floats, rng: np.random.Generator) -> dict[str, float]:
    """Mean, spread and quantiles of the rewards (S, N) of N samples for each of S seeds; in reward units.

    mean_reward is -inf where one reward is (and so is its interval; its standard error is NaN); the fraction of -inf
    and the mean of the finite ones stand beside it. *_low and *_high: 95 % bootstrap intervals. The quantiles 0.8
    and 0.9 are the "top 20 %" and "top 10 %" of SVDD's table 2 (arXiv 2408.08252), interpolated linearly.
    """
    pooled = rewards.ravel()
    finite = pooled[np.isfinite(pooled)]
    figures = {"mean_reward": mean(pooled), "mean_reward_standard_error": standard_error(pooled)}
    figures["mean_reward_low"], figures["mean_reward_high"] = interval(pooled, np.mean, rng)
    for name, level in QUANTILES.items():
        figures[name] = float(quantile(pooled, level))
        low, high = interval(pooled, _quantile_at(level), rng)
        figures[f"{name}_low"], figures[f"{name}_high"] = low, high
    figures["minus_infinity_fraction"] = (len(pooled) - len(finite)) / len(pooled)
    figures["mean_finite_reward"] = mean(finite)
    figures["mean_finite_reward_standard_error"] = standard_error(finite)
    by_seed = np.array([mean(row) for row in rewards])
    defined = len(by_seed) > 1 and bool(np.isfinite(by_seed).all())
    figures["mean_reward_spread_over_seeds"] = float(by_seed.std(ddof=1)) if defined else np.nan
    return figures


def group_figures(groups: Groups) -> dict[str, float]:
    """The weighted particles' mean reward and log Z = log mean exp(log_normalizer), nats; NaN where there are none.

    The weighted mean is over the groups that live, dead_group_fraction says how many do not. The standard error of
    log Z is that of Z over Z (delta method).
    """
    figures = dict.fromkeys(GROUP_FIGURES, np.nan)
    if groups.weighted_means is not None:
        alive = groups.weighted_means[~np.isnan(groups.weighted_means)]
        figures["weighted_mean_reward"] = mean(alive)
        figures["weighted_mean_reward_standard_error"] = standard_error(alive)
        figures["dead_group_fraction"] = float(np.isnan(groups.weighted_means).mean())
    if groups.log_normalizers is not None:
        estimate = log_mean_exp(groups.log_normalizers)
        figures["log_normalizer_nats"], figures["log_normalizer_standard_error_nats"] = estimate
    return figures


def cost_figures(cost: Cost, num_samples: int) -> dict[str, float]:
    """Calls and seconds per drawn sample, and the peak memory in MiB."""
    figures = {f"{kind}_per_sample": getattr(cost, kind) / num_samples for kind in KINDS}
    figures["seconds_per_sample"] = cost.seconds / num_samples
    figures["peak_memory_mib"] = cost.peak_memory_bytes / 2**20
    return figures


def gather_groups(runs: Sequence[Samples]) -> Groups:
    """The groups of all runs of one sampler."""
    size = runs[0].log_weights.shape[1]
    normalizers = [_numpy(run.log_normalizer) for run in runs if run.log_normalizer is not None]
    estimates = np.concatenate(normalizers) if normalizers else None
    if size == 1:
        return Groups(None, estimates)
    return Groups(np.concatenate([_weighted_means(run) for run in runs]), estimates)


def mean(values: Floats) -> float:
    """The mean, -inf where one value is; NaN of none."""
    return float(values.mean()) if len(values) else np.nan


def standard_error(values: Floats) -> float:
    """s/√n of n values, s with n - 1 in its denominator; NaN for fewer than two, or where one is -inf."""
    if len(values) < 2 or not bool(np.isfinite(values).all()):
        return np.nan
    exponent = np.frexp(np.abs(values).max())[1]  # a power of two costs no digits, and no square is 0 or inf
    return float(np.ldexp(np.ldexp(values, -exponent).std(ddof=1), exponent) / np.sqrt(len(values)))


def log_mean_exp(log_normalizers: Floats) -> tuple[float, float]:
    """log (1/G) Σ exp of G estimates, nats, and the standard error of Z over Z (delta method); -inf and NaN where all
    are -inf, as of a condition whose groups all died."""
    largest = log_normalizers.max()
    if largest == -np.inf:
        return -np.inf, np.nan
    scaled = np.exp(log_normalizers - largest)
    return float(largest + np.log(scaled.mean())), standard_error(scaled) / float(scaled.mean())


def quantile(values: Floats, level: float, axis: int = -1) -> Floats:
    """The linearly interpolated quantile along an axis; -inf where it lies between -inf and a number."""
    with np.errstate(invalid="ignore"):
        quantiles = np.quantile(values, level, axis=axis)
    return np.where(np.isnan(quantiles), -np.inf, quantiles)


def interval(
    values: Floats, statistic: Callable[..., Floats], rng: np.random.Generator, num_resamples: int = NUM_RESAMPLES
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a statistic(values, axis=) of independent values; NaN for fewer than two.

    Where the statistic is -inf for certain resamples, so may the ends be.
    """
    if len(values) < 2:
        return np.nan, np.nan
    if statistic is np.mean and not bool(np.isfinite(values).all()):
        return -np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        result = stats.bootstrap(
            (values,),
            statistic,
            n_resamples=num_resamples,
            batch=max(1, 2**21 // len(values)),
            confidence_level=CONFIDENCE,
            method="percentile",
            vectorized=True,
            rng=rng,
        )
    tail = (1 - CONFIDENCE) / 2
    drawn = result.bootstrap_distribution
    return float(quantile(drawn, tail)), float(quantile(drawn, 1 - tail))


def _quantile_at(level: float) -> Callable[..., Floats]:
    return lambda values, axis=-1: quantile(values, level, axis)


def _weighted_means(samples: Samples) -> Floats:
    weights = samples.log_weights.exp()
    if samples.rewards is None:
        return np.full(len(weights), np.nan)
    # a particle of weight 0 counts for nothing, though its reward may be -inf
    terms = torch.where(weights > 0, weights * samples.rewards.double(), 0.0)
    return _numpy(torch.where(weights.sum(dim=1) > 0, terms.sum(dim=1), torch.nan))


def _numpy(values: torch.Tensor) -> Floats:
    return values.double().cpu().numpy()
