"""A linear control that can hold the linear-quadratic feedback, chains for it, and expectations along their paths.

Exact expectations: along a linear-Gaussian path the control losses are quadratic in the noise z of dimension n, so
their mean over the 2n points ±√n e_i is that over N(0, I), for the loss and for its gradient.
"""

import math

import torch
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.transitions import GaussianTransition

ALPHA = 2.0


class LinearInX(nn.Module):
    """g(x, t) = W_t x + b_t, one for each time: it can hold the linear-quadratic feedback."""

    def __init__(self, dim, num_steps):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(num_steps, dim, dim, dtype=torch.float64))
        self.biases = nn.Parameter(torch.zeros(num_steps, dim, dtype=torch.float64))

    def forward(self, x, t):
        return torch.einsum("bij,bj->bi", self.weights[t], x) + self.biases[t]


class Bent(Reference):
    """x_{t+1} = sin(x_t) + s_t · noise, s = 0.5, 2: a mean that is not linear, on matrices as states."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, 1, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        std = torch.where(t == 0, 0.5, 2.0)[:, None, None].double()
        return Prediction(GaussianTransition(x.sin(), std))


class Wavy(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def forward(self, x, t):
        return (self.weight * x).cos() + self.weight


def gaussian():
    """Three dimensions, eight steps, of which x_0 still tells x_T, as in the tests of the value objectives."""
    drawn = LinearGaussianChain.random(dim=3, num_steps=8, seed=0)
    turn = torch.linalg.qr(drawn.matrices)[0]
    return LinearGaussianChain(drawn.initial_mean, 1.0, 0.95 * turn, drawn.offsets, 0.6 * drawn.stds, drawn.reward)


def memoryless():
    """The same steps after a first one that forgets x_0."""
    chain = gaussian()
    matrices = torch.cat([torch.zeros(1, 3, 3), chain.matrices[1:]])
    start = (chain.initial_mean, chain.initial_covariance)
    return LinearGaussianChain(*start, matrices, chain.offsets, chain.stds, chain.reward)


def make(kind, oracle=None, **options):
    oracle = gaussian() if oracle is None else oracle
    policy = Controlled(oracle, LinearInX(oracle.dim, oracle.num_steps))
    return kind(oracle, oracle.target(ALPHA), policy, **options)


def chain_of(objective):
    """The policy as a linear-Gaussian chain, whose ELBO is exact and differentiable in the network's parameters."""
    oracle, network = objective.reference, objective.policy.network
    variances = oracle.stds**2
    matrices = oracle.matrices + variances[:, :, None] * network.weights
    offsets = oracle.offsets + variances * network.biases
    start = (oracle.initial_mean, oracle.initial_covariance)
    return LinearGaussianChain(*start, matrices, offsets, oracle.stds, oracle.reward)


def set_feedback(objective, chain):
    """g(x, t) = (chain's mean - reference's mean)/s_t²."""
    oracle, network = objective.reference, objective.policy.network
    network.weights.data = (chain.matrices - oracle.matrices) / oracle.stds[:, :, None] ** 2
    network.biases.data = (chain.offsets - oracle.offsets) / oracle.stds**2


def disturb(objective, scale=0.3):
    for parameter in objective.policy.network.parameters():
        noise = torch.randn(parameter.shape, generator=seeded("cpu", parameter.numel()), dtype=torch.float64)
        parameter.data += scale * noise


def exact_batch(objective):
    """Every point of the exact rule: x_0 and noise, and the path that they make under the policy."""
    oracle = objective.reference
    number = oracle.dim * (oracle.num_steps + 1)
    points = math.sqrt(number) * torch.cat([torch.eye(number), -torch.eye(number)]).double()
    points = points.view(-1, oracle.num_steps + 1, oracle.dim)
    noise, states = points[:, 1:], [oracle.initial_mean + points[:, 0] @ oracle.initial_factor.T]
    with torch.no_grad():
        chain = chain_of(objective)
        for t in range(oracle.num_steps):
            mean = states[-1] @ chain.matrices[t].T + chain.offsets[t]
            states.append(mean + oracle.stds[t] * noise[:, t])
    return {"initial": states[0], "noise": noise, "states": torch.stack(states, dim=1)}


def gradient(objective, loss):
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss, list(objective.policy.network.parameters()))]
    )
