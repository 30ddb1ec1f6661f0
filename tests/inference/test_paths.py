"""Paths of weighted particles: their law is p* of whole trajectories, and they are paths of the reference."""

import math

import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.inference.paths import smc_paths
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

CHAIN = FiniteMarkovChain.random(3, 3, seed=2, zeros=0.3).with_rewards(torch.tensor([1.5, -math.inf, -0.5]))


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_weighted_paths_have_the_law_of_the_optimal_trajectories(threshold):
    places = 3 ** torch.arange(4)
    found = []
    for seed in range(50):
        paths, log_weights = smc_paths(
            CHAIN, CHAIN.target(1.0), Zero(), 2000, ess_threshold=threshold, generator=seeded("cpu", seed)
        )
        assert paths.shape == (2000, 4, 1)
        index = (paths[:, :, 0] * places).sum(dim=1)
        found.append(torch.zeros(81).double().index_add(0, index, log_weights.exp()))
    found = torch.stack(found)
    optimal = CHAIN.optimal(1.0)
    digits = torch.arange(81)[:, None] // places % 3
    law = optimal.initial_probs[digits[:, 0]]
    for t in range(3):
        law = law * optimal.matrices[t, digits[:, t], digits[:, t + 1]]
    error = found.std(dim=0) / math.sqrt(50)
    assert bool((found[:, law == 0] == 0).all())
    assert bool(((found.mean(dim=0) - law).abs() <= 4 * error + 1e-4).all())  # the bias of a ratio is of order 1/K
    assert error.max() < 0.005


@pytest.mark.parametrize("max_batch", [None, 7])
def test_a_value_that_reads_the_prediction_and_a_limit_on_batches(max_batch):
    oracle = LinearGaussianChain.random(dim=2, num_steps=4, seed=0)
    target = oracle.target(0.5)
    with metered(max_batch) as meter:
        paths, log_weights = smc_paths(oracle, target, PosteriorMean(target), 50, generator=seeded("cpu", 0))
    assert paths.shape == (50, 5, 2) and log_weights.logsumexp(0).item() == pytest.approx(0.0, abs=1e-12)
    assert meter.cost.reference_calls == 50 * 4 and meter.cost.value_calls == 50 * 4
    whole, weights = smc_paths(oracle, target, PosteriorMean(target), 50, generator=seeded("cpu", 0))
    torch.testing.assert_close(paths, whole)
    torch.testing.assert_close(log_weights, weights)


def test_the_value_is_asked_about_the_present_state():
    """The chain counts: x_t = t."""
    chain = FiniteMarkovChain(torch.eye(4)[0], torch.eye(4).roll(1, dims=1).expand(3, 4, 4), torch.zeros(4))
    asked = []

    class Asked(Zero):
        def forward(self, x, t, prediction=None):
            asked.append((x[:, 0].tolist(), t.tolist()))
            return super().forward(x, t)

    paths, _ = smc_paths(chain, chain.target(1.0), Asked(), 2, generator=seeded("cpu", 0))
    assert asked == [([t, t], [t, t]) for t in range(3)]
    assert paths[:, :, 0].tolist() == [[0, 1, 2, 3]] * 2


def test_a_group_that_died_says_so():
    target = Target(lambda x: torch.full((len(x),), -math.inf), 1.0)
    _, log_weights = smc_paths(CHAIN, target, Zero(), 5, generator=seeded("cpu", 0))
    assert bool((log_weights == -math.inf).all())
