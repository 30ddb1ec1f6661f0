"""Reward networks of GDSS: they learn, the same each time, and leave torch's global generator alone."""

import pytest
import torch

from benchmarks.gdss.regression import regress
from svlearn.domains.molecules.gdss.gin import GraphValueNetwork, PredictedReward
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.randomness import seeded


@pytest.fixture
def graphs():
    generator, mask = seeded("cpu", 0), torch.ones(16, 4, dtype=torch.bool)
    x, upper = torch.randn(16, 4, 9, generator=generator), torch.randn(16, 4, 4, generator=generator).triu(1)
    return continuous_state(x, upper + upper.mT, mask)


def fit(graphs, steps, scale=1.0):
    rewards = graphs["x"][..., 0].mean(dim=1)
    new = lambda: GraphValueNetwork(2, num_features=9, width=8, depth=1)  # noqa: E731
    network = regress(new, lambda: (graphs, rewards), steps=steps, rate=1e-2, seed=3, scale=scale)
    return network, float((PredictedReward(network)(graphs) - rewards).detach().square().mean())


def test_it_learns(graphs):
    network, before = fit(graphs, 1)
    _, after = fit(graphs, 60)
    assert after < 0.5 * before and not network.training


def test_the_same_seed_gives_the_same_network(graphs):
    state = torch.random.get_rng_state()
    first, _ = fit(graphs, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(1)  # whatever was drawn before
    second, _ = fit(graphs, 3)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)
