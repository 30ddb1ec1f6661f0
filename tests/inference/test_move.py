"""The move of a sampler from given states: its law is enumerated, its weight unbiased."""

import math

import pytest
import torch
from inference_toys import kernel

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.inference.samplers import smc, svdd
from svlearn.metering import metered
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import PosteriorMean, Zero

CHAIN = FiniteMarkovChain.random(3, 3, seed=2, zeros=0.3).with_rewards(torch.tensor([1.5, -math.inf, -0.5]))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("t", [1, 2])
def test_a_move_from_given_states_is_the_enumerated_choice_and_its_weight_is_unbiased(t, alpha):
    chain = CHAIN.with_rewards(torch.tensor([0.8, -0.6, -0.2]))
    value = CHAIN.with_rewards(torch.tensor([1.0, 0.5, -1.0])).soft_value(1.0)  # some wrong one
    size = 40_000
    x = torch.arange(3).repeat_interleave(size)[:, None]
    sampler = svdd(chain, chain.target(alpha), value, 2)
    x_next, log_weights = sampler.move(x, t, predict(chain, x, t), generator=seeded("cpu", t))
    levels = torch.stack([value.table[t], chain.reward.table if t == 2 else value.table[t + 1]])
    chosen = torch.nn.functional.one_hot(x_next[:, 0], 3).double().view(3, size, 3)
    law = kernel(levels[1], 2, alpha)(chain.matrices[t])
    assert bool(((chosen.mean(dim=1) - law).abs() <= 4.5 * (law * (1 - law) / size).sqrt() + 1e-12).all())
    if alpha == 0:
        assert bool((log_weights == 0).all())
        return
    weighted = chosen * log_weights.exp().view(3, size, 1)
    exact = chain.matrices[t] * ((levels[1][None] - levels[0][:, None]) / alpha).exp()
    error = weighted.std(dim=1) / math.sqrt(size)
    assert bool(((weighted.mean(dim=1) - exact).abs() <= 4.5 * error + 1e-12).all())


def test_a_move_calls_the_reference_only_where_the_value_reads_it_and_needs_single_particles():
    oracle = LinearGaussianChain.random(dim=2, num_steps=3, seed=0)
    target, x = oracle.target(0.5), oracle.initial(5, generator=seeded("cpu", 0))
    prediction = predict(oracle, x, 0)
    for value, t, calls in ((Zero(), 0, 0), (PosteriorMean(target), 0, 20), (PosteriorMean(target), 2, 0)):
        with metered() as meter:
            x_next, log_weights = svdd(oracle, target, value, 4).move(x, t, prediction, generator=seeded("cpu", 0))
        assert meter.cost.reference_calls == calls
        assert x_next.shape == (5, 2) and log_weights.shape == (5,) and log_weights.dtype == torch.float64
    with pytest.raises(ValueError, match="num_particles: expected 1 to move given states, got groups of 3"):
        smc(oracle, target, Zero(), 3).move(x, 0, prediction)


def test_a_move_where_nothing_is_possible_weighs_nothing():
    target = Target(lambda x: torch.full((len(x),), -math.inf), 1.0)
    x = CHAIN.initial(4, generator=seeded("cpu", 0))
    _, log_weights = svdd(CHAIN, target, Zero(), 3).move(x, 2, predict(CHAIN, x, 2), generator=seeded("cpu", 0))
    assert log_weights.tolist() == [-math.inf] * 4
