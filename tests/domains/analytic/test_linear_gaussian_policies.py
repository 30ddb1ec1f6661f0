"""Policies of the linear-Gaussian oracle: the best ELBO, path KLs and values of the start."""

import math

import pytest
import torch
from linear_gaussian_toys import ALPHA, EXACT, SADDLE, chain, nodes

from svlearn.domains.analytic import LinearGaussianChain, elbo, path_kl
from svlearn.process import predict
from svlearn.values import evaluate


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_best_elbo_is_what_a_search_over_linear_policies_finds(alpha):
    oracle = chain()
    matrices = oracle.matrices.clone().requires_grad_()
    offsets = oracle.offsets.clone().requires_grad_()
    start = (oracle.initial_mean, oracle.initial_covariance)

    def policy():
        return LinearGaussianChain(*start, matrices, offsets, oracle.stds, oracle.reward)

    search = torch.optim.LBFGS([matrices, offsets], max_iter=300, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        search.zero_grad()
        loss = -elbo(policy(), oracle, alpha)
        loss.backward()
        return loss

    before = -closure().item()
    search.step(closure)
    bound, best = elbo(policy(), oracle, alpha), oracle.best_elbo(alpha)
    assert before < best.item() - 0.05
    torch.testing.assert_close(bound, best, rtol=0, atol=1e-8)
    torch.testing.assert_close(elbo(oracle.best_policy(alpha), oracle, alpha), best, **EXACT)
    torch.testing.assert_close(oracle.best_policy(alpha).matrices, matrices.detach(), rtol=0, atol=1e-4)
    assert best < oracle.log_normalizer(alpha) - 0.01


def test_elbo_and_path_kl_match_simulation():
    oracle = chain()
    best, start = oracle.best_policy(ALPHA), (oracle.initial_mean, oracle.initial_covariance)
    policy = LinearGaussianChain(*start, best.matrices, best.offsets, 1.2 * oracle.stds, oracle.reward)
    generator = torch.Generator().manual_seed(5)
    x = policy.initial(40_000, generator=generator)
    log_ratio = torch.zeros(len(x), dtype=torch.float64)
    for t in range(policy.num_steps):
        law = predict(policy, x, t).transition
        after = law.sample(generator=generator)
        log_ratio += law.log_ratio(predict(oracle, x, t).transition, after)
        x = after
    gains = oracle.reward(x) / ALPHA - log_ratio
    for sample, exact in ((log_ratio, path_kl(policy, oracle)), (gains, elbo(policy, oracle, ALPHA))):
        assert abs(sample.mean() - exact) < 4 * sample.std() / math.sqrt(len(sample))
    assert path_kl(oracle, oracle) == 0


def test_a_policy_of_the_optimal_std_reaches_the_value_of_the_start():
    # in one dimension p*'s transition is a diagonal Gaussian, so only x_0's law keeps the ELBO from log Z
    oracle = LinearGaussianChain.random(1, 3, seed=5)
    best = oracle.best_policy(ALPHA)
    variance, precision = oracle.stds[:, 0] ** 2, []
    for t in range(3):
        precision.append(oracle.soft_value(ALPHA).matrices[t + 1, 0, 0] / ALPHA)
    stds = (1 / (1 / variance + torch.stack(precision))).sqrt()
    start = (oracle.initial_mean, oracle.initial_covariance)
    optimal = LinearGaussianChain(*start, best.matrices, best.offsets, stds, oracle.reward)
    points, weights = nodes(oracle.initial_mean.expand(2), oracle.initial_factor * torch.eye(2).double())
    expected = (weights * evaluate(oracle.soft_value(ALPHA), points[:, :1], 0)).sum() / ALPHA
    torch.testing.assert_close(elbo(optimal, oracle, ALPHA), expected, rtol=1e-8, atol=1e-8)
    assert oracle.best_elbo(ALPHA) < expected - 1e-3


def test_a_start_that_is_a_point_gives_its_own_value():
    oracle = chain()
    point = LinearGaussianChain([0.4, -0.2], 0.0, oracle.matrices, oracle.offsets, oracle.stds, SADDLE)
    x = point.initial(3)
    assert x.tolist() == [[0.4, -0.2]] * 3
    torch.testing.assert_close(point.log_normalizer(ALPHA), evaluate(point.soft_value(ALPHA), x, 0)[0] / ALPHA, **EXACT)
