"""p* itself: samples of the reference, weighed by p(class | x_T)^(1/alpha), and what both classifiers say of them."""

import math
from typing import Any

import torch
from torch import Tensor

from benchmarks.digits.heads import kept
from benchmarks.digits.problem import ALPHAS, judging
from benchmarks.digits.trained import finished
from svlearn.evaluation.report.provenance import provenance


def weighed(log_probs: Tensor, said: Tensor, alpha: float) -> dict[str, Any]:
    """What p* ∝ p_ref exp(r/alpha) has, the mean over K classes, from N samples of p_ref; r = log_probs (N, K), nats.

    said (N,): the judge's class of each. "accuracy", "certain" (the share of p(class | x) > 1/2) and "reward" are means
    and standard errors: f = mean_k Σ_n w_nk h_nk, with w_nk = softmax over n of r_nk/alpha, has to first order the
    variance Σ_n (mean_k w_nk (h_nk - f_k))². "ess": (Σw)²/Σw², the mean over classes.
    """
    log_probs = log_probs.double()
    weights = (log_probs / alpha).softmax(dim=0)

    def mean(held: Tensor) -> tuple[float, float]:
        of_class = (weights * held).sum(dim=0)
        pulls = (weights * (held - of_class)).mean(dim=1)
        return of_class.mean().item(), pulls.square().sum().sqrt().item()

    return {
        "accuracy": mean((said[:, None] == torch.arange(log_probs.shape[1])).double()),
        "certain": mean((log_probs > math.log(0.5)).double()),
        "reward": mean(log_probs),
        "ess": (1 / weights.square().sum(dim=0)).mean().item(),
    }


def of_plain() -> dict[str, Any]:
    """Of all simulated trajectories: the figures of p* by alpha, and how often both classifiers name one digit."""
    samples = kept()["finished"]
    with torch.no_grad():
        said = torch.cat([judging()((part / 2 + 0.5).clamp(0, 1)) for part in samples.split(500)]).argmax(dim=1)
    log_probs = finished(samples)
    return {
        "number": len(samples),
        "agreement": (log_probs.argmax(dim=1) == said).double().mean().item(),
        "weighed": {f"{alpha:g}": weighed(log_probs, said, alpha) for alpha in ALPHAS},
        "provenance": provenance(),
    }
