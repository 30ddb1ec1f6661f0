"""Small processes with networks, for the tests of fine-tuned policies."""

import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.process import Prediction, Reference, predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.state import take
from svlearn.transitions import CategoricalTransition, GaussianTransition

CHAIN = FiniteMarkovChain.random(4, 3, seed=2)


class TokenChain(Reference):
    """A Markov chain of tokens (B, 1) whose logits (T, S, S) are parameters."""

    def __init__(self, chain):
        super().__init__()
        self.num_steps = chain.num_steps
        self.logits = nn.Parameter(chain.matrices.log())
        self.register_buffer("initial_probs", chain.initial_probs)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.multinomial(self.initial_probs, batch_size, replacement=True, generator=generator)[:, None]

    def forward(self, x, t, previous=None):
        return Prediction(CategoricalTransition(self.logits[t, x[:, 0]][:, None]))


class Diffusion(Reference):
    """Four Gaussian steps in two dimensions, with a multilayer perceptron (or any network) for the mean."""

    num_steps = 4

    def __init__(self, network=None):
        super().__init__()
        layers = (nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))
        self.network = nn.Sequential(*layers).double() if network is None else network
        self.eval().requires_grad_(False)

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        mean = x + self.network(torch.cat([x, t[:, None] / 4], dim=1))
        return Prediction(GaussianTransition(mean, 0.5), clean=mean)


def trajectories(process, size=30):
    return roll_out(process, size, generator=seeded("cpu", 7))["states"]


@torch.no_grad()  # with gradients torch picks another kernel for attention, and the last bits differ
def assert_starts_as_the_reference(policy, reference, size):
    states = trajectories(policy, size)
    assert (states == trajectories(reference, size)).all()
    for t in range(reference.num_steps):
        x, x_next = take(states, (slice(None), t)), take(states, (slice(None), t + 1))
        prediction = predict(reference, x, t)
        law = policy.steer(prediction, x, torch.full((size,), t))
        assert law.log_ratio(prediction.transition, x_next).tolist() == [0.0] * size


def disturb(policy):
    """Move all that is trained, A and B of the adapters alike."""
    with torch.no_grad():
        for parameter in policy.trained():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded("cpu", 8), dtype=torch.float64))
