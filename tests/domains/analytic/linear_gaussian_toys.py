"""The linear-Gaussian chain of the tests."""

import math

import numpy as np
import torch

from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward

ALPHA = 0.7
SADDLE = QuadraticReward(torch.diag(torch.tensor([0.8, -0.15])).double(), torch.tensor([0.5, -0.4]), 0.3)
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def chain(reward: QuadraticReward = SADDLE) -> LinearGaussianChain:
    return LinearGaussianChain.random(2, 4, seed=3).with_reward(reward)


def nodes(mean, factor, number=50):
    """Gauss-Hermite points (number², 2) and weights of N(mean, factor factor')."""
    points, weights = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(number))
    grid = torch.cartesian_prod(points, points)
    return mean + grid @ factor.T, torch.outer(weights, weights).flatten() / (2 * math.pi)
