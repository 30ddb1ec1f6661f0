"""A reference of bent means, a value and a reward of it."""

import torch
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.transitions import GaussianTransition

ALPHA = 0.3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Curved(nn.Module):
    """A value without symmetry, of floats (B, 2)."""

    def forward(self, x, t):
        return (x[:, 0] * 1.3 + t).sin() - 0.4 * x[:, 1] ** 3


class Bent(Reference):
    """A Gaussian step whose mean is not linear, and a clean sample that is its own function of x."""

    num_steps = 3

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x + 0.1 * x.sin(), 0.3), clean=x**2 + t[:, None])


def bowl(x):
    return -((x - 0.7) ** 2).sum(dim=1)
