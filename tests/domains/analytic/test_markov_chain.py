"""The finite Markov chain oracle against the enumeration of all its paths."""

import itertools
import math

import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain, TableReward, TableValue
from svlearn.inference.samplers import ancestral
from svlearn.process import predict
from svlearn.values import evaluate

INF = math.inf
ALPHAS = (0.3, 1.0, 4.0)


def plain() -> FiniteMarkovChain:
    return FiniteMarkovChain.random(4, 3, seed=1)


def constrained() -> FiniteMarkovChain:
    """Forbidden moves, and forbidden ends."""
    chain = FiniteMarkovChain.random(4, 3, seed=2, zeros=0.5)
    return chain.with_rewards(torch.tensor([0.4, -INF, -1.0, -INF]))


def paths(chain):
    """All paths (N, T + 1) and their probabilities under the chain (N,), by multiplication."""
    every = torch.tensor(list(itertools.product(range(chain.num_states), repeat=chain.num_steps + 1)))
    probs = chain.initial_probs[every[:, 0]].clone()
    for t in range(chain.num_steps):
        probs *= chain.matrices[t, every[:, t], every[:, t + 1]]
    return every, probs


@pytest.fixture(params=[plain, constrained], ids=["plain", "constrained"])
def chain(request):
    return request.param()


def test_the_constrained_chain_is_what_the_tests_need():
    chain = constrained()
    assert ((chain.matrices == 0).float().mean() > 0.2) and (chain.matrices > 0).any(-1).all()
    assert (chain.soft_table(1.0)[:-1] > -INF).any()


@pytest.mark.parametrize("alpha", ALPHAS)
def test_values_and_log_z_by_enumeration(chain, alpha):
    every, probs = paths(chain)
    tilted = probs * (chain.reward.table[every[:, -1]] / alpha).exp()
    torch.testing.assert_close(chain.log_normalizer(alpha), tilted.sum().log())
    soft = chain.soft_table(alpha)
    for t in range(chain.num_steps + 1):
        for state in range(chain.num_states):
            through = torch.tensor(1.0, dtype=torch.float64)
            tails = torch.tensor(list(itertools.product(range(chain.num_states), repeat=chain.num_steps - t)))
            tails = torch.cat([torch.full((len(tails), 1), state), tails.view(len(tails), -1).long()], dim=1)
            through = torch.ones(len(tails), dtype=torch.float64)
            for s in range(t, chain.num_steps):
                through *= chain.matrices[s, tails[:, s - t], tails[:, s - t + 1]]
            expected = alpha * (through * (chain.reward.table[tails[:, -1]] / alpha).exp()).sum().log()
            torch.testing.assert_close(soft[t, state], expected)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_p_star_of_every_path_by_enumeration(chain, alpha):
    every, probs = paths(chain)
    expected = probs * (chain.reward.table[every[:, -1]] / alpha).exp()
    expected = expected / expected.sum()
    optimal = chain.optimal(alpha)
    torch.testing.assert_close(paths(optimal)[1], expected)
    for t, law in enumerate(optimal.marginals()):
        torch.testing.assert_close(law, torch.zeros_like(law).index_add(0, every[:, t], expected))
    kl = torch.where(expected > 0, expected * (expected / probs).log(), 0.0).sum()
    torch.testing.assert_close(chain.optimal_kl(alpha), kl)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_soft_bellman(chain, alpha):
    value = chain.soft_value(alpha)
    x = torch.arange(4)[:, None]
    for t in range(chain.num_steps):
        outcomes, log_probs = predict(chain, x, t).transition.outcomes(limit=4)
        after = chain.soft_table(alpha)[t + 1][outcomes[..., 0]] / alpha
        expected = alpha * (log_probs + after).logsumexp(1)
        torch.testing.assert_close(evaluate(value, x, t), expected.clamp(min=-100 * alpha))


def test_the_mean_value_by_enumeration():
    chain = plain()
    every, probs = paths(chain)
    for t in range(chain.num_steps + 1):
        mass, gain = (
            torch.zeros(4, dtype=torch.float64).index_add(0, every[:, t], part)
            for part in (probs, probs * chain.reward.table[every[:, -1]])
        )
        torch.testing.assert_close(chain.mean_table()[t], gain / mass)
        torch.testing.assert_close(evaluate(chain.mean_value(), torch.arange(4)[:, None], t), gain / mass)


def test_limits_in_alpha():
    chain = plain()
    torch.testing.assert_close(chain.soft_table(1e7), chain.mean_table(), rtol=0, atol=1e-6)
    assert (chain.soft_table(10.0)[:-1] > chain.mean_table()[:-1]).all()
    best = torch.tensor([[chain.reward.table.max()] * 4] * 3).double()  # every state can reach every other
    torch.testing.assert_close(chain.soft_table(1e-6)[:-1], best, rtol=0, atol=1e-4)


def test_a_state_without_a_future_is_floored_and_its_mean_is_refused():
    identity = torch.eye(2).expand(2, 2, 2)
    stuck = FiniteMarkovChain(torch.tensor([0.25, 0.75]), identity, torch.tensor([-INF, 2.0]))
    assert stuck.soft_table(0.5)[0].tolist() == [-INF, 2.0]
    assert stuck.mean_table()[0].tolist() == [-INF, 2.0]
    x = torch.tensor([[0], [1]])
    assert evaluate(stuck.soft_value(0.5), x, 1).tolist() == [-50.0, 2.0]
    assert stuck.log_normalizer(0.5).item() == pytest.approx(math.log(0.75) + 4)
    assert stuck.optimal(0.5).marginals()[-1].tolist() == [0.0, 1.0]
    assert stuck.optimal_kl(0.5).item() == pytest.approx(-math.log(0.75))
    assert stuck.best_elbo(0.5).item() == -INF
    with pytest.raises(ValueError, match="reward: the mean of a reward that is -inf"):
        stuck.mean_value()
    hopeless = stuck.with_rewards(torch.tensor([-INF, -INF]))
    assert hopeless.log_normalizer(1.0).item() == -INF
    with pytest.raises(ValueError, match="Z = 0"):
        hopeless.optimal(1.0)


def test_optimal_trajectories_follow_p_star(chain):
    every, _ = paths(chain)
    expected = paths(chain.optimal(0.5))[1]
    drawn = chain.optimal_trajectories(40_000, 0.5, generator=torch.Generator().manual_seed(0))
    assert drawn.shape == (40_000, 4, 1) and drawn.dtype == torch.long
    code = drawn[..., 0] @ torch.tensor([64, 16, 4, 1])
    counts = torch.bincount(code, minlength=len(every)).double()
    assert (counts[expected == 0] == 0).all()
    frequent = 40_000 * expected > 5
    chi_square = ((counts - 40_000 * expected) ** 2 / (40_000 * expected))[frequent].sum()
    degrees = int(frequent.sum())
    assert degrees > 5 and abs(chi_square - degrees) < 4 * math.sqrt(2 * degrees)


def test_ancestral_samples_follow_the_marginals(chain):
    samples = ancestral(chain).sample(40_000, generator=torch.Generator().manual_seed(0))
    law = chain.marginals()[-1]
    shares = torch.bincount(samples.states[:, 0, 0], minlength=4) / 40_000
    assert ((shares - law).abs() < 4 * (law * (1 - law) / 40_000).sqrt() + 1e-12).all()


def test_best_elbo_keeps_the_initial_law(chain):
    if (chain.soft_table(1.0)[0] == -INF).any():
        assert chain.best_elbo(1.0).item() == -INF
        return
    policy = FiniteMarkovChain(chain.initial_probs, chain.optimal(1.0).matrices, chain.reward.table)
    every, probs = paths(policy)
    reference = paths(chain)[1]
    gain = chain.reward.table[every[:, -1]] - (probs / reference).log()
    elbo = torch.where(probs > 0, probs * gain, 0.0).sum()
    torch.testing.assert_close(chain.best_elbo(1.0), elbo)
    assert chain.best_elbo(1.0) < chain.log_normalizer(1.0) - 1e-4
    noise = torch.Generator().manual_seed(0)
    for _ in range(20):  # no other policy does better
        matrices = policy.matrices * torch.rand(3, 4, 4, generator=noise).double().add(0.5)
        other = paths(FiniteMarkovChain(chain.initial_probs, matrices / matrices.sum(-1, keepdim=True), torch.zeros(4)))
        gain = chain.reward.table[every[:, -1]] - (other[1] / reference).log()
        assert torch.where(other[1] > 0, other[1] * gain, 0.0).sum() < elbo


def test_mutual_information_by_enumeration(chain):
    every, probs = paths(chain)
    both = torch.zeros(16, dtype=torch.float64).index_add(0, every[:, 0] * 4 + every[:, -1], probs).view(4, 4)
    product = both.sum(1, keepdim=True) * both.sum(0)
    expected = torch.where(both > 0, both * (both / product).log(), 0.0).sum()
    torch.testing.assert_close(chain.mutual_information(), expected)


def test_the_prediction_knows_the_law_of_the_end(chain):
    every, probs = paths(chain)
    x = torch.arange(4)[:, None]
    for t in range(chain.num_steps):
        both = torch.zeros(16, dtype=torch.float64).index_add(0, every[:, t] * 4 + every[:, -1], probs).view(4, 4)
        law = both / both.sum(1, keepdim=True)
        prediction = predict(chain, x, t)
        visited = ~law.isnan().any(1)
        torch.testing.assert_close(prediction.clean_law.log_probs[:, 0].exp()[visited], law[visited])
        assert prediction.clean.shape == (4, 1)
        assert (prediction.clean[visited, 0] == law[visited].argmax(1)).all()
        torch.testing.assert_close(prediction.transition.log_probs[:, 0].exp(), chain.matrices[t])


def test_bad_input_is_named():
    half = torch.full((2,), 0.5)
    rows = half.expand(1, 2, 2)
    with pytest.raises(ValueError, match="matrices: expected rows of probabilities"):
        FiniteMarkovChain(half, rows * 1.1, torch.zeros(2))
    with pytest.raises(ValueError, match="initial_probs: expected rows of probabilities"):
        FiniteMarkovChain(torch.tensor([1.5, -0.5]), rows, torch.zeros(2))
    with pytest.raises(ValueError, match=r"matrices: expected shape \(1, 3, 3\), got \(1, 2, 2\)"):
        FiniteMarkovChain(torch.ones(3) / 3, rows, torch.zeros(3))
    with pytest.raises(ValueError, match="table: expected numbers or -inf"):
        FiniteMarkovChain(half, rows, torch.tensor([0.0, INF]))
    with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
        plain().log_normalizer(-1.0)
    with pytest.raises(TypeError, match="alpha: expected a number"):
        plain().log_normalizer("1")
    with pytest.raises(ValueError, match="zeros: expected a share"):
        FiniteMarkovChain.random(3, 2, seed=0, zeros=1.0)
    with pytest.raises(ValueError, match="table: expected shape"):
        TableValue(torch.zeros(3))
    with pytest.raises(ValueError, match="table: expected shape"):
        TableReward(torch.zeros(3, 1))
