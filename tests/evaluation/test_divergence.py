"""KL to the reference: exact where it can be, never below it, and that of a best of n by enumeration."""

import math

import pytest
import torch

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.evaluation.divergence import best_of_kl, reference_kl
from svlearn.inference.samples import History, Samples
from svlearn.metering import Cost
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out

CHAIN, GAUSSIAN = FiniteMarkovChain.random(5, 4, seed=1), LinearGaussianChain.random(2, 5, seed=1)
ALPHA, N = 0.5, 4000


def test_of_an_exact_proposal_it_is_that_of_the_target():
    """q = p* but for x_0, which weights correct: of p* it is E_p*[r/α] - log Z, to the last digit for one particle."""
    target, value = CHAIN.target(ALPHA), CHAIN.soft_value(ALPHA)
    sampler = sv.smc(CHAIN, target, value, 64, proposal=sv.proposals.Exact(value))
    kl, error = reference_kl(sampler.sample(N, generator=seeded("cpu", 0)), ALPHA)
    exact = CHAIN.optimal_kl(ALPHA).item()
    assert abs(kl - exact) < 4 * error + 0.02 * exact and 4 * error < 0.1 * exact


def test_of_plain_samples_it_is_zero():
    kl, error = reference_kl(sv.smc(CHAIN, CHAIN.target(ALPHA), sv.values.Zero(), 1).sample(50), ALPHA)
    assert abs(kl) < 1e-12 and error < 1e-12


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_of_guidance_it_is_that_of_its_paths(scale):
    """-Σ log p/q along trajectories drawn by the same proposal, of other random numbers."""
    target, value = GAUSSIAN.target(ALPHA), GAUSSIAN.soft_value(ALPHA)
    guided = sv.proposals.Guided(value, scale)
    sampler = sv.smc(GAUSSIAN, target, sv.values.Zero(), 1, proposal=guided)
    kl, error = reference_kl(sampler.sample(10 * N, generator=seeded("cpu", 0)), ALPHA)
    paths = roll_out(GAUSSIAN, 10 * N, target=target, proposal=guided, generator=seeded("cpu", 1))
    own = -paths["log_ratios"].sum(dim=1)
    assert abs(kl - own.mean()) < 4 * math.hypot(error, own.std() / (10 * N) ** 0.5) < 0.2 * kl


@pytest.mark.parametrize("alpha", [0.0, ALPHA])
@pytest.mark.parametrize("number", [2, 8])
def test_it_is_never_below_that_of_finished_samples(alpha, number):
    """KL of the law of x_T, by counting many draws, at α > 0 by the log-weights and at 0 by the candidates."""
    target, value = CHAIN.target(alpha), CHAIN.mean_value()
    sampler = sv.svdd(CHAIN, target, value, number)
    samples = sampler.sample(20_000, generator=seeded("cpu", 0))
    drawn = samples.states[:, 0, 0].bincount(minlength=5).double() / 20_000
    plain = CHAIN.marginals()[-1]
    finished = torch.xlogy(drawn, drawn / plain).sum().item()
    kl = best_of_kl([number] * 5) if alpha == 0 else reference_kl(samples, alpha)[0]
    assert 0.05 < finished < kl


def finished(rewards, log_weights, log_normalizer):
    nothing = torch.zeros(len(rewards), 1)
    history = History(nothing, nothing.bool())
    return Samples(torch.zeros(*rewards.shape, 1), rewards, log_weights, log_normalizer, Cost(), history)


def test_by_hand():
    """Weights 1/4 and 3/4 of rewards 2 and 4, log Z_hat = 1, α = 2: 7/4 - 1; and -inf of weight 0 and 6: 3 - 2."""
    rewards = torch.tensor([[2.0, 4.0], [-math.inf, 6.0]])
    log_weights = torch.tensor([[0.25, 0.75], [0.0, 1.0]]).log()
    kl, error = reference_kl(finished(rewards, log_weights, torch.tensor([1.0, 2.0])), 2.0)
    assert kl == pytest.approx(0.875) and error == pytest.approx(0.125)


def test_it_is_infinite_where_a_group_died():
    dead = finished(
        torch.tensor([[1.0], [-math.inf]]), torch.tensor([[0.0], [-math.inf]]), torch.tensor([0.0, -math.inf])
    )
    assert reference_kl(dead, 1.0)[0] == math.inf


@pytest.mark.parametrize("number", [1, 2, 5, 10])
def test_that_of_the_best_of_n_by_enumeration(number):
    """q_i = F_i^n - F_{i-1}^n: the bound itself where hardly two are alike, and less of five outcomes."""
    for probs, gap in ((torch.full((20_000,), 1 / 20_000).double(), 1e-3), (CHAIN.marginals()[-1], math.inf)):
        above = probs.cumsum(dim=0)
        law = (above**number).diff(prepend=torch.zeros(1).double())
        exact = torch.xlogy(law, law / probs).sum().item()
        assert exact <= best_of_kl([number]) + 1e-12 and best_of_kl([number]) - exact < gap
    assert best_of_kl([number, 1, number]) == pytest.approx(2 * best_of_kl([number]))


def test_bad_input_is_refused():
    samples = sv.svdd(CHAIN, CHAIN.target(0.0), CHAIN.mean_value(), 2).sample(3)
    with pytest.raises(ValueError, match="alpha: expected a number above 0, got 0"):
        reference_kl(samples, 0.0)
    with pytest.raises(ValueError, match="samples: expected some with rewards and a log normalizer"):
        reference_kl(samples, 1.0)
    with pytest.raises(ValueError, match="numbers: expected integers of at least 1"):
        best_of_kl([2, 0])
