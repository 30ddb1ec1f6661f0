"""The samplers against the oracles: Z is unbiased, whatever is plugged in, and the final laws are the exact ones."""

import math

import pytest
import torch
from inference_toys import BASE, MARKOV, ORACLES, assert_unbiased, make_policy, make_value

from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain, QuadraticReward
from svlearn.inference.proposals import Policy
from svlearn.inference.resampling import SCHEMES
from svlearn.inference.samplers import best_of_n, smc, svdd
from svlearn.randomness import seeded

GROUPS, PARTICLES = 3000, 16
VALUES, THRESHOLDS, ALPHAS = ("exact", "zero", "wrong"), (0.0, 0.6, 1.0), (1.0, 0.3)

each_oracle = pytest.mark.parametrize("kind", ORACLES)
each_value = pytest.mark.parametrize("value", VALUES)
each_scheme = pytest.mark.parametrize("resampling", SCHEMES)
each_threshold = pytest.mark.parametrize("threshold", THRESHOLDS)
each_alpha = pytest.mark.parametrize("alpha", ALPHAS)


def assert_resampled(samples, threshold, least):
    """A group is resampled exactly when its ESS asks for it, never at T, and at least `least` times on average."""
    ess, resampled = samples.history.ess, samples.history.resampled
    due = (ess <= threshold * PARTICLES) | (threshold == 1)
    due[:, -1] = False
    assert torch.equal(resampled, due)
    assert resampled.double().sum(dim=1).mean() >= least


def total_variation(states, weights, law):
    weighted_counts = torch.zeros_like(law).index_add(0, states.flatten(), weights.flatten())
    return 0.5 * (weighted_counts / weighted_counts.sum() - law).abs().sum()


@each_oracle
@each_value
@each_scheme
@each_threshold
@each_alpha
def test_smc_is_unbiased_in_z(kind, value, resampling, threshold, alpha):
    oracle = ORACLES[kind]
    v = make_value(value, oracle, alpha)
    sampler = smc(oracle, oracle.target(alpha), v, PARTICLES, ess_threshold=threshold, resampling=resampling)
    place = (VALUES.index(value), list(SCHEMES).index(resampling), THRESHOLDS.index(threshold), ALPHAS.index(alpha))
    samples = sampler.sample(GROUPS, generator=seeded("cpu", list(ORACLES).index(kind), *place))
    assert_unbiased(samples, oracle.log_normalizer(alpha))
    if threshold == 0 or (threshold < 1 and value == "zero"):  # without look-ahead all weigh the same until T
        least = 0
        assert not samples.history.resampled.any()
    else:
        least = 5 if threshold == 1 else 0.5
    assert_resampled(samples, threshold, least)


@each_oracle
@each_value
@each_threshold
@each_alpha
def test_smc_with_a_policy_is_unbiased_in_z(kind, value, threshold, alpha):
    oracle = ORACLES[kind]
    proposal = Policy(make_policy(oracle))
    sampler = smc(
        oracle, oracle.target(alpha), make_value(value, oracle, alpha), PARTICLES, threshold, proposal=proposal
    )
    samples = sampler.sample(GROUPS, generator=torch.Generator().manual_seed(1))
    assert samples.cost.policy_calls == GROUPS * PARTICLES * 5
    assert_unbiased(samples, oracle.log_normalizer(alpha))
    assert_resampled(samples, threshold, {0.0: 0, 0.6: 0.5, 1.0: 5}[threshold])


@each_oracle
@each_value
@each_alpha
@pytest.mark.parametrize("guided", [False, True], ids=["reference", "policy"])
def test_svdd_is_unbiased_in_z(kind, value, alpha, guided):
    oracle = ORACLES[kind]
    proposal = Policy(make_policy(oracle)) if guided else None
    v = make_value(value, oracle, alpha, off=0.4)
    sampler = svdd(oracle, oracle.target(alpha), v, 8, proposal)
    samples = sampler.sample(6000, generator=torch.Generator().manual_seed(2))
    assert_unbiased(samples, oracle.log_normalizer(alpha))


def counter():
    """Counts up with probability 0.3 at each of 8 steps, to a reward of 0.3 each: every step adds to the spread."""
    up = torch.full((9,), 0.3, dtype=torch.float64)
    matrix = torch.diag(1 - up) + torch.diag(up[:-1], 1)
    matrix[-1, -1] = 1.0
    return FiniteMarkovChain(torch.eye(9)[0], matrix.expand(8, 9, 9), 0.3 * torch.arange(9.0))


def walk():
    """A random walk of 10 steps towards a linear reward: w is log-normal, Var[w]/Z² = 10.9 at alpha = 0.3."""
    steps = (torch.ones(10, 1, 1), torch.zeros(10, 1), torch.full((10,), math.sqrt(0.1)))
    return LinearGaussianChain([0.0], 0.1, *steps, QuadraticReward([[0.0]], [0.45]))


@each_scheme
@pytest.mark.parametrize("threshold", [0.6, 1.0])
@pytest.mark.parametrize("make", [counter, walk])
def test_with_the_exact_value_resampling_lowers_the_spread_of_z(make, threshold, resampling):
    oracle, alpha = make(), 0.3
    # unresampled, the exact value telescopes away: Z_hat is the plain mean of exp(r/α), of a known variance
    plain = ((oracle.log_normalizer(alpha / 2) - 2 * oracle.log_normalizer(alpha)).exp() - 1) / PARTICLES
    sampler = smc(oracle, oracle.target(alpha), oracle.soft_value(alpha), PARTICLES, threshold, resampling)
    samples = sampler.sample(1000, generator=torch.Generator().manual_seed(3))
    squares = ((samples.log_normalizer - oracle.log_normalizer(alpha)).exp() - 1) ** 2
    assert squares.mean() + 4 * squares.std() / math.sqrt(len(squares)) < plain


@pytest.mark.parametrize("make", [counter, walk])
def test_without_resampling_the_spread_is_that_of_the_rewards(make):
    oracle = make()
    plain = ((oracle.log_normalizer(0.5) - 2 * oracle.log_normalizer(1.0)).exp() - 1) / PARTICLES
    sampler = smc(oracle, oracle.target(1.0), oracle.soft_value(1.0), PARTICLES, ess_threshold=0)
    samples = sampler.sample(GROUPS, generator=torch.Generator().manual_seed(3))
    squares = ((samples.log_normalizer - oracle.log_normalizer(1.0)).exp() - 1) ** 2
    assert abs(squares.mean() - plain) < 4 * squares.std() / math.sqrt(len(squares))


@each_alpha
def test_the_final_law_on_the_markov_chain(alpha):
    target, value = MARKOV.target(alpha), MARKOV.soft_value(alpha)
    law = MARKOV.optimal(alpha).marginals()[-1]
    assert total_variation(torch.arange(5), MARKOV.marginals()[-1], law) > 0.2
    local = svdd(MARKOV, target, value, 64).sample(15_000, generator=torch.Generator().manual_seed(4))
    assert total_variation(local.states, torch.ones(15_000).double(), law) < 0.02
    particles = smc(MARKOV, target, value, 500).sample(80, generator=torch.Generator().manual_seed(5))
    assert total_variation(particles.states, particles.log_weights.exp(), law) < 0.02


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_the_final_mean_on_the_linear_gaussian_chain(alpha):
    oracle, target, value = BASE, BASE.target(alpha), BASE.soft_value(alpha)
    mean, covariance = (part[-1] for part in oracle.optimal_marginals(alpha))
    std = covariance.diagonal().sqrt()
    assert ((oracle.marginals()[0][-1] - mean).abs() / std).max() > 0.3
    local = svdd(oracle, target, value, 64).sample(15_000, generator=torch.Generator().manual_seed(6))
    assert ((local.states[:, 0].mean(0) - mean).abs() / std).max() < 0.03
    particles = smc(oracle, target, value, 500).sample(120, generator=torch.Generator().manual_seed(7))
    weighted = (particles.log_weights.exp()[..., None] * particles.states).sum(1).mean(0)
    assert ((weighted - mean).abs() / std).max() < 0.03


def final_law(chain, keep):
    """The law of x_T where `keep(t, probabilities, row)` gives that of the candidate kept at t, from x_{t-1} = row."""
    law = keep(0, chain.initial_probs, None)
    for t in range(chain.num_steps):
        kept = torch.stack([keep(t + 1, chain.matrices[t, row], row) for row in range(chain.num_states)])
        law = law @ kept
    return law


def assert_law(samples, law):
    """Pearson's chi-square of the final states, within 4 standard deviations of its degrees of freedom."""
    number = len(samples.states)
    counts = torch.bincount(samples.states.flatten(), minlength=len(law))
    chi_square = ((counts - number * law) ** 2 / (number * law)).sum()
    assert number * law.min() > 20
    assert chi_square < len(law) - 1 + 4 * math.sqrt(2 * (len(law) - 1))


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("guided", [False, True], ids=["reference", "policy"])
def test_svdd_with_two_candidates_has_its_enumerated_law(value, guided):
    alpha, v = 0.6, make_value(value, MARKOV, 0.6)
    drawn = make_policy(MARKOV) if guided else MARKOV

    def keep(t, probs, row):
        states = torch.arange(5)[:, None]
        values = MARKOV.reward.table if t == 5 else v(states, torch.full((5,), t)).double()
        weights = (values / alpha).exp()
        if row is not None:
            weights = weights * MARKOV.matrices[t - 1, row] / probs
        return 2 * probs * (probs * weights[:, None] / (weights[:, None] + weights)).sum(1)

    proposal = Policy(drawn) if guided else None
    samples = svdd(MARKOV, MARKOV.target(alpha), v, 2, proposal).sample(20_000, generator=seeded("cpu", 8, guided))
    assert_law(samples, final_law(drawn, keep))


@pytest.mark.parametrize("number", [1, 3])
def test_greedy_svdd_has_its_enumerated_law(number):
    v = MARKOV.mean_value()

    def keep(t, probs, row):
        values = v.table[t]
        below = (values[None] < values[:, None]).double() @ probs
        return (below + probs) ** number - below**number

    samples = svdd(MARKOV, MARKOV.target(0.0), v, number).sample(20_000, generator=torch.Generator().manual_seed(9))
    assert samples.log_normalizer is None
    assert_law(samples, final_law(MARKOV, keep))


def test_greedy_svdd_with_many_candidates_climbs_to_the_best_reward():
    samples = svdd(MARKOV, MARKOV.target(0.0), MARKOV.mean_value(), 2000).sample(
        50, generator=torch.Generator().manual_seed(10)
    )
    assert (samples.rewards == MARKOV.reward.table.max()).all()


def test_best_of_n_has_its_enumerated_law():
    probs, rewards = MARKOV.marginals()[-1], MARKOV.reward.table
    below = (rewards[None] < rewards[:, None]).double() @ probs
    samples = best_of_n(MARKOV, MARKOV.target(1.0), 3).sample(20_000, generator=torch.Generator().manual_seed(11))
    assert_law(samples, (below + probs) ** 3 - below**3)
