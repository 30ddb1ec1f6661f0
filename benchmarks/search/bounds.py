"""Bounds on log Z by the number of particles, and beside them the KLs that they bound, by quadrature."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.oracles.judges import chain_kl
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.domains.analytic.oracle import Oracle
from svlearn.evaluation.bounds import normalizer_bounds
from svlearn.inference.samplers import smc, svdd
from svlearn.randomness import seeded
from svlearn.values import Zero

SIZES, RUNS = (1, 2, 4, 8, 16, 32, 64), 4000
NODES, STEP = 60, 0.1
# of the oracle, alpha and K (or M); "multinomial", because that is what a retained path is resampled by
KINDS = {
    "importance sampling": lambda o, a, k: smc(o, o.target(a), Zero(), k, ess_threshold=0.0),
    "smc, mean value": lambda o, a, k: smc(o, o.target(a), o.mean_value(), k, resampling="multinomial"),
    "smc, exact value": lambda o, a, k: smc(o, o.target(a), o.soft_value(a), k, resampling="multinomial"),
    "svdd, exact value": lambda o, a, k: svdd(o, o.target(a), o.soft_value(a), k),
}


def chosen(probs: Tensor, weights: Tensor, number: int) -> Tensor:
    """q(x)/p(x), (n,), of the one that is kept, ∝ its weight, of `number` draws x of p; probs and weights (n,) > 0.

    q(x)/p(x) = N w(x) E[1/(w(x) + Σ w(others))] = N w(x) ∫ exp(-s w(x)) E[exp(-s w)]^(N - 1) ds, s from 0 to ∞; by the
    trapezoidal rule in log s, whose error is far below that of float64.
    """
    weights = weights / weights.max()
    low, high = -40.0, 5.0 - float(weights.min().log())
    s = torch.arange(low, high, STEP, dtype=torch.float64).exp()
    kernel = (-s * weights[:, None]).exp()
    return number * weights * (kernel @ (s * (probs @ kernel) ** (number - 1))) * STEP


def kls(oracle: Oracle, alpha: float, kind: str, size: int) -> tuple[float, float] | None:
    """KL(q || p*) and KL(p* || q), nats, of the whole path that a run of `size` draws; None where it is not known."""
    log_z = float(oracle.log_normalizer(alpha))
    if kind == "importance sampling":  # q/p_ref of a path is that of its end
        probs, twists = ends(oracle, alpha)
        gain = chosen(probs, (twists - twists.max()).exp(), size).log()
        tilt = twists - log_z  # log p*/p_ref
        return float(probs @ (gain.exp() * (gain - tilt))), float(probs @ (tilt.exp() * (tilt - gain)))
    if kind.startswith("svdd") and isinstance(oracle, FiniteMarkovChain):
        drawn, optimal = svdd_chain(oracle, oracle.soft_table(alpha) / alpha, size), oracle.optimal(alpha)
        return float(chain_kl(drawn, optimal)), float(chain_kl(optimal, drawn))
    return None


def ends(oracle: Oracle, alpha: float) -> tuple[Tensor, Tensor]:
    """Points x_T with their probabilities under p_ref (n,), and r(x_T)/alpha; of the Gaussian chain Gauss and Hermite's
    points, at which sums are integrals."""
    if isinstance(oracle, FiniteMarkovChain):
        return oracle.marginals()[-1], oracle.reward.table / alpha
    mean, covariance = (part[-1] for part in oracle.marginals())
    points, shares = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(NODES))
    normal = torch.cartesian_prod(*[points] * len(mean)).view(-1, len(mean))
    probs = torch.cartesian_prod(*[shares / shares.sum()] * len(mean)).view(-1, len(mean)).prod(dim=1)
    return probs, oracle.reward(mean + normal @ torch.linalg.cholesky(covariance).T) / alpha


def svdd_chain(oracle: FiniteMarkovChain, twists: Tensor, size: int) -> FiniteMarkovChain:
    """The law of SVDD with M = size candidates at every step, itself a chain; twists (T + 1, S) are v_t/alpha."""
    weights = (twists - twists.amax(dim=1, keepdim=True)).exp()
    start = oracle.initial_probs * chosen(oracle.initial_probs, weights[0], size)
    moves = [
        torch.stack([row * chosen(row, after, size) for row in matrix])
        for matrix, after in zip(oracle.matrices, weights[1:], strict=True)
    ]
    return FiniteMarkovChain(start, torch.stack(moves), oracle.reward.table)


def by_size(oracle: Oracle, alpha: float, kind: str, size: int) -> dict[str, Any]:
    """The bounds of one sampler, [mean, standard error], and the exact KLs where they are known; nats."""
    place = (list(KINDS).index(kind), size)
    trajectories = oracle.optimal_trajectories(RUNS, alpha, generator=seeded("cpu", *place, 1))
    bounds = normalizer_bounds(
        KINDS[kind](oracle, alpha, size), RUNS, trajectories=trajectories, generator=seeded("cpu", *place, 2)
    )
    exact = kls(oracle, alpha, kind, size)
    return {
        "lower": [bounds.lower, bounds.lower_standard_error],
        "upper": [bounds.upper, bounds.upper_standard_error],
        "gap": [bounds.gap, math.hypot(bounds.lower_standard_error, bounds.upper_standard_error)],
        "kl_to_target": None if exact is None else exact[0],
        "kl_from_target": None if exact is None else exact[1],
    }


def bounds(oracles: dict[str, Oracle], alpha: float) -> dict[str, Any]:
    """log Z and the bounds on it, by oracle, sampler and size."""
    return {
        name: {
            "log_normalizer": float(oracle.log_normalizer(alpha)),
            "samplers": {kind: {str(size): by_size(oracle, alpha, kind, size) for size in SIZES} for kind in KINDS},
        }
        for name, oracle in oracles.items()
    }


def gaussian() -> LinearGaussianChain:
    """Two dimensions, five steps."""
    return LinearGaussianChain.random(2, 5, seed=1)
