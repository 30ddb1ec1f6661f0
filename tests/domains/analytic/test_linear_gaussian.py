"""The linear-Gaussian oracle against quadrature, the joint Gaussian of the whole path, and simulation."""

import math

import pytest
import torch
from linear_gaussian_toys import ALPHA, EXACT, SADDLE, chain, nodes

from svlearn.domains.analytic import LinearGaussianChain, QuadraticReward, path_kl
from svlearn.inference.samplers import ancestral
from svlearn.process import predict
from svlearn.values import evaluate


def joint(oracle):
    """Mean (n,) and covariance (n, n) of the whole path under p_ref, n = (T + 1) d, from x = noise + shift."""
    d, n = oracle.dim, oracle.dim * (oracle.num_steps + 1)
    solve, noise, shift = torch.eye(n).double(), torch.zeros(n, n).double(), torch.zeros(n).double()
    noise[:d, :d], shift[:d] = oracle.initial_covariance, oracle.initial_mean
    for t in range(oracle.num_steps):
        now, after = slice(t * d, (t + 1) * d), slice((t + 1) * d, (t + 2) * d)
        solve[after, now] = -oracle.matrices[t]
        noise[after, after] = torch.diag(oracle.stds[t] ** 2)
        shift[after] = oracle.offsets[t]
    inverse = torch.linalg.inv(solve)
    return inverse @ shift, inverse @ noise @ inverse.T


def optimal_joint(oracle, alpha):
    """The same under p*, and log Z: the joint Gaussian's precision gains Q/alpha in its last block."""
    mean, covariance = joint(oracle)
    tilt, pull = torch.zeros_like(covariance), torch.zeros_like(mean)
    tilt[-oracle.dim :, -oracle.dim :] = oracle.reward.matrix / alpha
    pull[-oracle.dim :] = oracle.reward.vector / alpha
    precision = torch.linalg.inv(covariance)
    tilted = torch.linalg.inv(precision + tilt)
    new_mean = tilted @ (precision @ mean + pull)
    log_z = 0.5 * (torch.logdet(tilted) - torch.logdet(covariance)) + oracle.reward.constant / alpha
    log_z += 0.5 * (new_mean @ (precision + tilt) @ new_mean - mean @ precision @ mean)
    return new_mean, tilted, log_z


def blocks(oracle, mean, covariance):
    steps = [slice(t * oracle.dim, (t + 1) * oracle.dim) for t in range(oracle.num_steps + 1)]
    return torch.stack([mean[s] for s in steps]), torch.stack([covariance[s, s] for s in steps])


def assert_moments(samples, mean, covariance):
    """Sample mean and covariance within 4 standard errors of a Gaussian's."""
    number = len(samples)
    variances = covariance.diagonal()
    assert (((samples.mean(0) - mean) / (variances / number).sqrt()).abs() < 4).all()
    errors = ((torch.outer(variances, variances) + covariance**2) / number).sqrt()
    assert (((samples.T.cov() - covariance) / errors).abs() < 4).all()


@pytest.mark.parametrize("alpha", [ALPHA, 3.0])
def test_the_soft_bellman_equation_holds(alpha):
    oracle = chain()
    value = oracle.soft_value(alpha)
    x = torch.tensor([[0.3, -0.8], [1.5, 0.2], [-2.0, 1.0]], dtype=torch.float64)
    for t in range(oracle.num_steps):
        law = predict(oracle, x, t).transition
        for row in range(len(x)):
            points, weights = nodes(law.mean[row], torch.diag(law.std[row]))
            after = (weights.log() + evaluate(value, points, t + 1) / alpha).logsumexp(0)
            torch.testing.assert_close(evaluate(value, x, t)[row] / alpha, after, rtol=1e-7, atol=1e-7)


def test_the_mean_value_is_the_mean_of_the_next_mean_value():
    oracle = chain()
    value = oracle.mean_value()
    x = torch.tensor([[0.3, -0.8], [1.5, 0.2]], dtype=torch.float64)
    for t in range(oracle.num_steps):
        law = predict(oracle, x, t).transition
        for row in range(len(x)):
            points, weights = nodes(law.mean[row], torch.diag(law.std[row]))
            after = (weights * evaluate(value, points, t + 1)).sum()
            torch.testing.assert_close(evaluate(value, x, t)[row], after, **EXACT)


def test_both_values_at_the_end_are_the_reward_and_times_may_differ_in_a_batch():
    oracle, x = chain(), torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    for value in (oracle.soft_value(ALPHA), oracle.mean_value()):
        torch.testing.assert_close(evaluate(value, x, 4), oracle.target(ALPHA)(x), **EXACT)
        mixed = evaluate(value, x, torch.tensor([0, 4, 2, 1, 3]))
        one_by_one = torch.cat([evaluate(value, x[i : i + 1], t) for i, t in enumerate((0, 4, 2, 1, 3))])
        torch.testing.assert_close(mixed, one_by_one, **EXACT)


def test_log_z_is_the_mean_of_the_first_value():
    oracle = chain()
    points, weights = nodes(oracle.initial_mean, torch.linalg.cholesky(oracle.initial_covariance))
    log_z = (weights.log() + evaluate(oracle.soft_value(ALPHA), points, 0) / ALPHA).logsumexp(0)
    torch.testing.assert_close(oracle.log_normalizer(ALPHA), log_z, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 5.0])
def test_p_star_is_the_conditioned_joint_gaussian(alpha):
    oracle = chain()
    mean, covariance, log_z = optimal_joint(oracle, alpha)
    torch.testing.assert_close(oracle.log_normalizer(alpha), log_z, **EXACT)
    torch.testing.assert_close(oracle.optimal_marginals(alpha), blocks(oracle, mean, covariance), **EXACT)
    torch.testing.assert_close(oracle.marginals(), blocks(oracle, *joint(oracle)), **EXACT)


def test_optimal_trajectories_have_the_joint_law_of_p_star():
    oracle = chain()
    mean, covariance, _ = optimal_joint(oracle, ALPHA)
    paths = oracle.optimal_trajectories(40_000, ALPHA, generator=torch.Generator().manual_seed(1))
    assert paths.shape == (40_000, 5, 2)
    assert_moments(paths.flatten(1), mean, covariance)


def test_ancestral_samples_have_the_reference_marginals_and_give_z():
    oracle = LinearGaussianChain.random(3, 3, seed=8)
    samples = ancestral(oracle, oracle.target(1.0)).sample(40_000, generator=torch.Generator().manual_seed(2))
    means, covariances = oracle.marginals()
    assert_moments(samples.states[:, 0], means[-1], covariances[-1])
    weights = (samples.rewards[:, 0] / 1.0).exp()
    error = weights.std() / math.sqrt(len(weights))
    assert abs(weights.mean() - oracle.log_normalizer(1.0).exp()) < 4 * error


def test_a_linear_reward_by_hand():
    # x_1 ~ N(0, 2), r = x, α = 1/2: v_0 = x + 1/(2α), log Z = 2/(2α²), p* = N(2/α, 2)
    oracle = LinearGaussianChain(
        torch.zeros(1), 1.0, torch.ones(1, 1, 1), torch.zeros(1, 1), torch.ones(1), QuadraticReward([[0.0]], [1.0])
    )
    x = torch.tensor([[0.0], [-3.0]], dtype=torch.float64)
    assert evaluate(oracle.soft_value(0.5), x, 0).tolist() == pytest.approx([1.0, -2.0])
    assert evaluate(oracle.mean_value(), x, 0).tolist() == pytest.approx([0.0, -3.0])
    assert oracle.log_normalizer(0.5).item() == pytest.approx(4.0)
    means, covariances = oracle.optimal_marginals(0.5)
    assert means.flatten().tolist() == pytest.approx([2.0, 4.0])
    assert covariances.flatten().tolist() == pytest.approx([1.0, 2.0])
    assert oracle.optimal_kl(0.5).item() == pytest.approx(4.0)
    assert oracle.best_elbo(0.5).item() == pytest.approx(2.0)  # the other 2 nats are what moving x_0 would win
    assert oracle.best_policy(0.5).offsets.item() == pytest.approx(2.0)
    assert oracle.mutual_information().item() == pytest.approx(0.5 * math.log(2))


def test_clean_is_the_posterior_mean():
    oracle = chain(QuadraticReward(torch.zeros(2, 2), [1.0, -2.0], 0.5))
    x = torch.tensor([[0.3, -0.8], [1.5, 0.2]], dtype=torch.float64)
    for t in range(oracle.num_steps):
        expected = evaluate(oracle.mean_value(), x, t)  # E[c'x_T + k | x_t] = c' clean + k
        torch.testing.assert_close(oracle.target(1.0)(predict(oracle, x, t).clean), expected, **EXACT)


def test_the_soft_value_tends_to_the_mean_value_at_large_alpha():
    oracle = chain()
    x = torch.tensor([[0.3, -0.8], [1.5, 0.2]], dtype=torch.float64)
    for t in range(oracle.num_steps):
        mean = evaluate(oracle.mean_value(), x, t)
        near, far = (evaluate(oracle.soft_value(alpha), x, t) - mean for alpha in (10.0, 1e4))
        slope = SADDLE.vector - predict(oracle, x, t).clean @ SADDLE.matrix
        curved = SADDLE.matrix @ oracle.clean_covariances[t]
        variance = (
            torch.einsum("bi,ij,bj->b", slope, oracle.clean_covariances[t], slope) + 0.5 * (curved @ curved).trace()
        )
        torch.testing.assert_close(1e4 * far, 0.5 * variance, rtol=1e-3, atol=0)  # v = v' + Var[r | x_t]/(2α) + ...
        assert (near > far).all()


def test_the_soft_value_tends_to_the_best_reward_at_small_alpha():
    oracle = LinearGaussianChain.random(3, 4, seed=8)
    best = 0.5 * oracle.reward.vector @ torch.linalg.solve(oracle.reward.matrix, oracle.reward.vector)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    for t in range(oracle.num_steps):
        torch.testing.assert_close(evaluate(oracle.soft_value(1e-6), x, t), best.expand(4), rtol=0, atol=1e-4)


def test_kl_is_that_of_the_two_final_gaussians():
    oracle = chain()
    (means, covariances), (mean, covariance) = oracle.marginals(), (x[-1] for x in oracle.optimal_marginals(ALPHA))
    reference = torch.distributions.MultivariateNormal(means[-1], covariances[-1])
    kl = torch.distributions.kl_divergence(torch.distributions.MultivariateNormal(mean, covariance), reference)
    torch.testing.assert_close(oracle.optimal_kl(ALPHA), kl, **EXACT)


def test_mutual_information_of_the_ends():
    oracle = chain()
    _, covariance = joint(oracle)
    ends = torch.cat([torch.arange(2), torch.arange(-2, 0) % len(covariance)])
    both = covariance[ends][:, ends]
    expected = 0.5 * (torch.logdet(both[:2, :2]) + torch.logdet(both[2:, 2:]) - torch.logdet(both))
    torch.testing.assert_close(oracle.mutual_information(), expected, **EXACT)
    assert expected > 0.01
    cut = oracle.matrices * torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None, None]
    start = (oracle.initial_mean, oracle.initial_covariance)
    memoryless = LinearGaussianChain(*start, cut, oracle.offsets, oracle.stds, oracle.reward)
    assert memoryless.mutual_information().abs() < 1e-12


def test_oracles_share_no_memory():
    oracle = chain()
    other, before = oracle.with_reward(SADDLE), oracle.stds.clone()
    other.stds.mul_(2)
    assert torch.equal(oracle.stds, before)


def test_an_infinite_expectation_is_refused():
    wild = chain(QuadraticReward(-torch.eye(2), torch.zeros(2)))
    for ask in (wild.soft_value, wild.log_normalizer, wild.optimal_marginals, wild.best_elbo):
        with pytest.raises(ValueError, match="infinite.*larger alpha"):
            ask(0.05)
    wild.soft_value(50.0)
    start_only = LinearGaussianChain(
        [0.0], 100.0, torch.ones(1, 1, 1), torch.zeros(1, 1), torch.tensor([0.1]), QuadraticReward([[-1.0]], [0.0])
    )
    start_only.soft_value(1.0)
    with pytest.raises(ValueError, match="x_0"):
        start_only.log_normalizer(1.0)
    assert start_only.best_elbo(1.0) > 40  # about E[x²/2] = 50: x_0's law is kept, so the best ELBO stays finite


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="matrix: expected a symmetric"):
        QuadraticReward([[0.0, 1.0], [0.0, 0.0]], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"matrix: expected shape \(2, 2\), got \(1, 1\)"):
        QuadraticReward([[1.0]], [0.0, 0.0])
    with pytest.raises(ValueError, match="vector: expected finite"):
        QuadraticReward([[1.0]], [math.inf])
    whole = (torch.ones(1, 1, 1), torch.zeros(1, 1), torch.ones(1), QuadraticReward([[0.0]], [1.0]))
    with pytest.raises(ValueError, match="initial_mean"):
        LinearGaussianChain(torch.zeros(2), 1.0, *whole)
    with pytest.raises(ValueError, match="initial_covariance: expected eigenvalues"):
        LinearGaussianChain(torch.zeros(1), -1.0, *whole)
    with pytest.raises(ValueError, match="stds"):
        LinearGaussianChain(torch.zeros(1), 1.0, *whole[:2], -torch.ones(1), whole[3])
    with pytest.raises(TypeError, match="reward: expected a QuadraticReward"):
        LinearGaussianChain(torch.zeros(1), 1.0, *whole[:3], torch.sum)
    with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
        chain().soft_value(0.0)
    with pytest.raises(ValueError, match="policy: expected the reference's initial law"):
        path_kl(LinearGaussianChain(torch.ones(1), 1.0, *whole), LinearGaussianChain(torch.zeros(1), 1.0, *whole))
