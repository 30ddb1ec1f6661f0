"""Mixtures on a line and in a plane, and a grid to integrate over."""

import torch

from svlearn.domains.analytic.gaussian_mixture import GaussianMixtureDiffusion
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.domains.analytic.mixture_rewards import ComponentReward
from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.randomness import seeded
from svlearn.schedules import cosine_schedule

EXACT = {"rtol": 1e-9, "atol": 1e-9}
BENT = QuadraticReward([[0.6]], [0.8], 0.3)
AXIS = torch.linspace(-9, 9, 3601, dtype=torch.float64)[:, None]  # the trapezoid rule is exact to rounding here
CELL = 18 / 3600


def line(reward="bent", start=0.1, num_steps=4):
    """Three components on a line."""
    mixture = GaussianMixture(torch.tensor([1.0, 2.0, 1.0]), [[-2.0], [0.5], [2.5]], torch.tensor([0.3, 0.5, 0.2]))
    classes = ComponentReward(mixture, torch.tensor([1.0, 0.0, 0.4]))
    rewards = {"bent": BENT, "linear": QuadraticReward([[0.0]], [-1.2]), "component": classes}
    return GaussianMixtureDiffusion(mixture, cosine_schedule(num_steps, start), rewards[reward])


def plane(start=0.1):
    """Four components of unequal variances in two dimensions, and a reward that couples these."""
    generator = seeded("cpu", 1)
    means = 1.5 * torch.randn(4, 2, generator=generator, dtype=torch.float64)
    variances = 0.2 + torch.rand(4, 2, generator=generator, dtype=torch.float64)
    reward = QuadraticReward([[0.5, 0.3], [0.3, -0.1]], [0.4, -0.6], 0.2)
    return GaussianMixtureDiffusion(GaussianMixture(torch.rand(4), means, variances), cosine_schedule(5, start), reward)
