"""The oracles that samplers are held against, values and policies that are off, SVDD by enumeration, E[Z_hat] = Z."""

import itertools
import math

import torch

from svlearn.domains.analytic import (
    FiniteMarkovChain,
    LinearGaussianChain,
    Quadratic,
    QuadraticReward,
    QuadraticValue,
    TableValue,
)
from svlearn.values import Zero

MARKOV = FiniteMarkovChain.random(5, 5, seed=1)
BASE = LinearGaussianChain.random(2, 5, seed=1)
BOWL = QuadraticReward(torch.diag(torch.tensor([8.0, 6.0])), torch.tensor([2.0, -1.5]))
# a wide start and little noise: the early states already tell much, so that an exact value is due to resample early
GAUSSIAN = LinearGaussianChain(BASE.initial_mean, 3.0, BASE.matrices, BASE.offsets, 0.6 * BASE.stds, BOWL)
ORACLES = {"markov": MARKOV, "gaussian": GAUSSIAN}


def make_value(name, oracle, alpha, off=1.0):
    """The wrong one moves by about `off` nats, in no direction that the reward knows of."""
    if name == "exact":
        return oracle.soft_value(alpha)
    if name == "zero":
        return Zero()
    noise = torch.Generator().manual_seed(11)
    if isinstance(oracle, FiniteMarkovChain):
        table = torch.randn(oracle.num_steps, oracle.num_states, generator=noise).double()
        return TableValue(1.5 * off * alpha * table)
    bend, zero = 0.1 * torch.eye(2).double(), torch.zeros(()).double()
    tilts = [Quadratic(bend, 0.4 * torch.randn(2, generator=noise).double(), zero) for _ in range(oracle.num_steps)]
    return QuadraticValue([tilt.scaled(off * alpha) for tilt in tilts])


def make_policy(oracle):
    """Another process with the same initial law, that covers the oracle's."""
    if isinstance(oracle, FiniteMarkovChain):
        return FiniteMarkovChain(oracle.initial_probs, 0.6 * oracle.matrices + 0.4 / 5, oracle.reward.table)
    start = (oracle.initial_mean, oracle.initial_covariance)
    moved = (0.8 * oracle.matrices, oracle.offsets + 0.15, 1.2 * oracle.stds)
    return LinearGaussianChain(*start, *moved, oracle.reward)


def kernel(values, num_candidates, alpha):
    """P(x_{t+1} | x_t), (3, 3), of SVDD by summing over all M candidates; their law given x_t is `moves` (3, 3)."""

    def of(moves):
        law = torch.zeros(3, 3, dtype=torch.float64)
        for drawn in itertools.product(range(3), repeat=num_candidates):
            likely = moves[:, list(drawn)].prod(dim=1)
            scores = values[list(drawn)]
            if alpha == 0:
                law[:, drawn[int(scores.argmax())]] += likely
                continue
            for place, share in zip(drawn, (scores / alpha).softmax(dim=0), strict=True):
                law[:, place] += likely * share
        return law

    return of


def assert_unbiased(samples, log_normalizer, largest_error=0.05):
    """E[Z_hat] = Z within 4 standard errors, and these are small enough to tell."""
    ratio = (samples.log_normalizer - log_normalizer).exp()
    error = ratio.std() / math.sqrt(len(ratio))
    assert error < largest_error
    assert abs(ratio.mean() - 1) < 4 * error
