"""Networks that can hold the exact values of an oracle, and oracles on which every value has something to tell."""

import itertools
import math

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain


class QuadraticInX(nn.Module):
    """One free quadratic for each time: it can hold the exact values of a linear-Gaussian chain."""

    def __init__(self, dim, num_steps):
        super().__init__()
        self.matrices = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=torch.float64))
        self.vectors = nn.Parameter(torch.zeros(num_steps, dim, dtype=torch.float64))
        self.constants = nn.Parameter(torch.zeros(num_steps, dtype=torch.float64))

    def forward(self, x, t):
        bent = torch.einsum("bi,bij,bj->b", x, self.matrices[t], x)
        return bent + (self.vectors[t] * x).sum(1) + self.constants[t]


class Table(nn.Module):
    """One free number for each time and state of a Markov chain."""

    def __init__(self, num_states, num_steps):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_steps, num_states, dtype=torch.float64))

    def forward(self, x, t):
        return self.table[t, x[:, 0]]


def gaussian():
    """Three dimensions, eight steps, of which x_0 still tells x_T: else v_0 is a constant and has no R²."""
    drawn = LinearGaussianChain.random(dim=3, num_steps=8, seed=0)
    turn = torch.linalg.qr(drawn.matrices)[0]
    return LinearGaussianChain(drawn.initial_mean, 1.0, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward), (
        QuadraticInX(3, 8)
    )


def markov():
    """Five states, six steps, that mostly stay where they are."""
    drawn = FiniteMarkovChain.random(num_states=5, num_steps=6, seed=0)
    stay = 0.8 * torch.eye(5, dtype=torch.float64) + 0.2 * drawn.matrices
    return FiniteMarkovChain(drawn.initial_probs, stay, drawn.reward.table), Table(5, 6)


def tiny(rewards=(1.0, -2.0, -0.5)):
    """Three states, two steps, all probabilities in quarters."""
    start = torch.tensor([2, 1, 1]) / 4
    matrices = torch.tensor([[[2, 1, 1], [1, 3, 0], [0, 2, 2]], [[3, 0, 1], [1, 1, 2], [1, 2, 1]]]) / 4
    return FiniteMarkovChain(start.double(), matrices.double(), torch.tensor(rewards).double())


def law_as_batch(chain):
    """64 trajectories of the tiny chain, each path as often as it is likely: a mean over them is an expectation."""
    paths = []
    for path in itertools.product(range(3), repeat=3):
        steps = zip(chain.matrices, path, path[1:], strict=False)
        likely = chain.initial_probs[path[0]] * math.prod(float(matrix[x, y]) for matrix, x, y in steps)
        paths += [path] * round(64 * float(likely))
    states = torch.tensor(paths)[:, :, None]
    return TensorDict({"states": states, "rewards": chain.reward(states[:, -1])}, batch_size=[64])
