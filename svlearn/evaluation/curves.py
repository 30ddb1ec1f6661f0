"""What happened in a sampler's runs by time step, over all their groups."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from svlearn.evaluation.summary import Floats
from svlearn.inference.samples import Samples

COLUMNS = [
    "t",
    "ess",
    "unique_ancestors",
    "log_weight_spread",
    "increment_spread",
    "increment_skewness",
    "increment_ess",
    "log_ratio_spread",
]


def curves(runs: Sequence[Samples]) -> pd.DataFrame:
    """One row per t of the runs of one sampler, from their `History`; NaN where a figure has no meaning.

    ess                 mean effective sample size before any resampling, as a share of the particles
    unique_ancestors    mean number of distinct ancestors of the finished particles, as a share of them
    log_weight_spread   standard deviation of the log-weights in a group before any resampling, nats
    increment_spread    standard deviation of what the candidates for x_t multiply weights by, in logarithms, in a
                        group, nats: 0 for the exact value and its exact proposal
    increment_skewness  its skewness: below 0 where few candidates are much too light, above 0 where few are much
                        too heavy
    increment_ess       the share of them that is effective, (Σw)²/Σw² over their number
    log_ratio_spread    standard deviation of log p_ref - log q among the candidates, nats: 0 where p_ref proposes

    Variances and third moments are averaged over groups before the root. All but unique_ancestors are of samplers
    that weigh (smc, and svdd at α > 0); the first three are of groups of more than one particle.
    """
    history, size = runs[0].history, runs[0].log_weights.shape[1]
    frame = pd.DataFrame(np.nan, index=range(history.ess.shape[1]), columns=COLUMNS)
    frame["t"] = history.start + np.arange(len(frame))
    weighs = runs[0].log_normalizer is not None
    if weighs and size > 1:
        frame["ess"] = _mean([run.history.ess for run in runs]) / size
    if history.ancestors and size > 1:
        frame["unique_ancestors"] = _mean([run.history.unique_ancestors for run in runs]) / size
    spreads = [run.history.spreads for run in runs if run.history.spreads is not None]
    if weighs and spreads:
        among, variance, third, share, ratio = _mean(spreads).T
        if size > 1:
            frame["log_weight_spread"] = np.sqrt(among)
        frame["increment_spread"], frame["log_ratio_spread"] = np.sqrt(variance), np.sqrt(ratio)
        frame["increment_ess"] = share
        with np.errstate(invalid="ignore", divide="ignore"):
            frame["increment_skewness"] = np.where(variance > 0, third / variance**1.5, np.nan)
    return frame


def _mean(parts: Sequence[torch.Tensor]) -> Floats:
    """The mean over the groups of all runs, their first dimension."""
    return torch.cat(list(parts)).double().mean(dim=0).cpu().numpy()
