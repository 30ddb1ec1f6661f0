"""The mixture's diffusion against quadrature on a grid, automatic derivatives and simulation."""

import math

import pytest
import torch
from mixture_toys import AXIS, BENT, CELL, EXACT, line, plane

from svlearn.domains.analytic.gaussian_mixture import WANTED_MODES, GaussianMixtureDiffusion
from svlearn.domains.analytic.mixture import GaussianMixture
from svlearn.domains.analytic.mixture_ddpm import GaussianMixtureDDPM
from svlearn.domains.analytic.mixture_rewards import ComponentReward
from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.inference.samplers import smc
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.schedules import cosine_schedule
from svlearn.values import PosteriorMean, evaluate

each_reward = pytest.mark.parametrize("kind", ["bent", "linear", "component"])


def log_integral(log_values):
    return log_values.logsumexp(0) + math.log(CELL)


def log_posterior(oracle, x, t):
    """log p(x_T | x_t = x) on the grid, by Bayes' rule with the noising of x_T, (points,)."""
    alpha_bar = oracle.alpha_bars[t]
    noising = torch.distributions.Normal(alpha_bar.sqrt() * AXIS[:, 0], (1 - alpha_bar).sqrt())
    joint = oracle.mixture.log_prob(AXIS) + noising.log_prob(torch.as_tensor(x))
    return joint - log_integral(joint)


def assert_mean(values, expected):
    """Within 4 standard errors."""
    assert ((values.mean(0) - expected).abs() < 4 * values.std(0) / math.sqrt(len(values))).all()


def assert_moments(samples, mean, covariance):
    assert_mean(samples, mean)
    offsets = samples - mean
    for i in range(samples.shape[1]):
        assert_mean(offsets * offsets[:, i : i + 1], covariance[i])


@each_reward
@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_soft_values_and_log_z_by_bayes_rule_on_a_grid(kind, alpha):
    oracle = line(kind)
    if kind == "component" and alpha != 1:
        with pytest.raises(ValueError, match="closed form at alpha = 1 only, got 0.6"):
            oracle.soft_value(alpha)
        return
    value, gain = oracle.soft_value(alpha), oracle.target(alpha)(AXIS) / alpha
    for t in range(oracle.num_steps):
        for x in (-1.7, 0.0, 2.2):
            expected = alpha * log_integral(log_posterior(oracle, x, t) + gain)
            v = evaluate(value, torch.tensor([[x]]).double(), t)[0]
            torch.testing.assert_close(v, expected, **EXACT)
    torch.testing.assert_close(evaluate(value, AXIS, oracle.num_steps), oracle.target(alpha)(AXIS), **EXACT)
    log_z = log_integral(oracle.mixture.log_prob(AXIS) + gain)
    torch.testing.assert_close(oracle.log_normalizer(alpha), log_z, **EXACT)
    star = (oracle.mixture.log_prob(AXIS) + gain - log_z).exp()
    torch.testing.assert_close(oracle.optimal_law(alpha).log_prob(AXIS).exp(), star, **EXACT)
    kl = (star * (gain - log_z)).sum() * CELL
    torch.testing.assert_close(oracle.optimal_kl(alpha), kl, rtol=1e-6, atol=1e-6)
    start = oracle.marginal(0).log_prob(AXIS).exp()
    elbo = (start * evaluate(value, AXIS, 0) / alpha).sum() * CELL
    torch.testing.assert_close(oracle.best_elbo(alpha), elbo, rtol=1e-7, atol=1e-7)
    assert oracle.best_elbo(alpha) < oracle.log_normalizer(alpha) - 1e-4


@pytest.mark.parametrize("kind", ["bent", "linear"])
def test_mean_values_and_the_posterior_by_bayes_rule_on_a_grid(kind):
    oracle = line(kind)
    value, reward = oracle.mean_value(), oracle.target(1.0)(AXIS)
    for t in range(oracle.num_steps):
        x = torch.tensor([[-1.7], [0.0], [2.2]]).double()
        prediction = predict(oracle, x, t)
        for row in range(3):
            law = log_posterior(oracle, x[row, 0], t).exp() * CELL
            torch.testing.assert_close(evaluate(value, x, t)[row], (law * reward).sum(), **EXACT)
            torch.testing.assert_close(prediction.clean[row, 0], law @ AXIS[:, 0], **EXACT)
            log_probs = prediction.clean_law[torch.full((len(AXIS),), row)].log_prob(AXIS)
            torch.testing.assert_close(log_probs.exp() * CELL, law, **EXACT)
    torch.testing.assert_close(evaluate(value, AXIS, oracle.num_steps), reward, **EXACT)


@pytest.mark.parametrize("start", [0.0, 0.1])
def test_the_exact_steps_carry_the_marginals_from_noise_to_data(start):
    oracle = line(start=start)
    for t in range(oracle.num_steps):
        now = oracle.marginal(t).log_prob(AXIS).exp() * CELL
        means, stds = oracle._given_component(AXIS, torch.full((3601,), t), torch.full((3601,), t + 1))
        weights = predict(oracle, AXIS, t).transition.log_weights.exp()
        points = torch.tensor([-2.0, 0.3, 1.9]).double()
        for point in points:
            density = torch.distributions.Normal(means[..., 0], stds[..., 0]).log_prob(point).exp()
            after = (now * (weights * density).sum(1)).sum()
            torch.testing.assert_close(after, oracle.marginal(t + 1).log_prob(point[None, None])[0].exp(), **EXACT)


@each_reward
def test_the_soft_bellman_equation_holds(kind):
    oracle, alpha = line(kind), 1.0
    value = oracle.soft_value(alpha)
    for t in range(oracle.num_steps):
        x = torch.tensor([[-1.1], [0.4]]).double()
        law = predict(oracle, x, t).transition
        for row in range(2):
            step = law[torch.full((len(AXIS),), row)].log_prob(AXIS)
            after = log_integral(step + evaluate(value, AXIS, t + 1) / alpha)
            torch.testing.assert_close(evaluate(value, x, t)[row] / alpha, after, **EXACT)


def test_score_and_tweedie():
    oracle, x = plane(), torch.randn(5, 2, generator=seeded("cpu", 2), dtype=torch.float64)
    for t in range(oracle.num_steps):
        moved = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(oracle.marginal(t).log_prob(moved).sum(), moved)
        torch.testing.assert_close(oracle.score(x, torch.full((5,), t)), slope, **EXACT)
        alpha_bar = oracle.alpha_bars[t]
        clean = (x + (1 - alpha_bar) * slope) / alpha_bar.sqrt()
        torch.testing.assert_close(predict(oracle, x, t).clean, clean, **EXACT)


def test_two_dimensions_by_simulation():
    oracle, alpha = plane(), 0.8
    number = 40_000
    paths = roll_out(oracle, number, target=oracle.target(alpha), generator=seeded("cpu", 3))
    assert_moments(paths["states"][:, -1], *oracle.mixture.moments())
    weights = (paths["rewards"] / alpha).exp()
    assert_mean(weights, oracle.log_normalizer(alpha).exp())
    law = oracle.optimal_law(alpha)
    offsets = paths["states"][:, -1] - law.moments()[0]  # under p*, 0 on average
    assert_mean(weights[:, None] * offsets, torch.zeros(2).double())
    best = oracle.optimal_trajectories(number, alpha, generator=seeded("cpu", 4))
    for t in range(oracle.num_steps + 1):
        assert_moments(best[:, t], *law.noised(oracle.alpha_bars[t]).moments())
    ratio = law.log_prob(best[:, -1]) - oracle.mixture.log_prob(best[:, -1])
    assert_mean(ratio, oracle.optimal_kl(alpha))
    gain = oracle.target(alpha)(best[:, -1]) / alpha - oracle.log_normalizer(alpha)
    torch.testing.assert_close(ratio, gain, **EXACT)
    for t in range(oracle.num_steps):  # each step of p* is the reference's, tilted by the exact value
        value = oracle.soft_value(alpha)
        before, after = (evaluate(value, best[:, s], s) / alpha for s in (t, t + 1))
        assert_mean((before - after).exp(), torch.tensor(1.0).double())


def test_rolling_back_gives_the_reference_paths():
    oracle = plane(start=0.0)
    back = roll_back(oracle, oracle.mixture.sample(20_000, generator=seeded("cpu", 5)), generator=seeded("cpu", 6))
    for t in range(oracle.num_steps + 1):
        assert_moments(back["states"][:, t], *oracle.marginal(t).moments())
    x = back["states"][:4, 0]
    still = oracle.noise(x, torch.zeros(4).long(), torch.zeros(4).long(), generator=seeded("cpu", 7))
    torch.testing.assert_close(still, x)


def test_a_schedule_from_zero_is_memoryless_and_others_are_not():
    memoryless, other = line(start=0.0), line(start=0.1)
    assert memoryless.mutual_information().item() == pytest.approx(0.0, abs=1e-12)
    assert memoryless.best_elbo(1.0).item() == pytest.approx(memoryless.log_normalizer(1.0).item(), abs=1e-12)
    joint = other.mixture.log_prob(AXIS)[:, None] + torch.distributions.Normal(
        other.alpha_bars[0].sqrt() * AXIS, (1 - other.alpha_bars[0]).sqrt()
    ).log_prob(AXIS.T)
    product = other.mixture.log_prob(AXIS)[:, None] + other.marginal(0).log_prob(AXIS)
    expected = (joint.exp() * (joint - product)).sum() * CELL**2
    torch.testing.assert_close(other.mutual_information(), expected, rtol=1e-7, atol=1e-7)
    assert expected > 0.1
    schedule = cosine_schedule(10, 0.02)
    assert schedule[0] == 0.02 and schedule[-1] == 1 and (schedule.diff() > 0).all()
    torch.testing.assert_close(cosine_schedule(4)[1:4], torch.sin(math.pi / 8 * torch.tensor([1, 2, 3]).double()) ** 2)


def test_the_toy_of_relative_trajectory_balance():
    toy = GaussianMixtureDiffusion.rtb_toy()
    assert toy.num_steps == 100 and toy.mixture.means.shape == (25, 2)
    assert toy.log_normalizer(1.0).item() == pytest.approx(0.0, abs=1e-12)
    assert toy.mutual_information().item() == pytest.approx(0.0, abs=1e-9)
    law = toy.optimal_law(1.0)
    alive = law.log_weights > -math.inf
    assert alive.sum() == 9
    for mean, weight in zip(law.means[alive].tolist(), law.log_weights[alive].exp().tolist(), strict=True):
        assert weight == pytest.approx(WANTED_MODES[int(mean[0]), int(mean[1])] / 61)
    kl = sum(part / 61 * math.log(25 * part / 61) for part in WANTED_MODES.values())
    assert toy.optimal_kl(1.0).item() == pytest.approx(kl, abs=1e-4)  # but for the tails that the modes share
    x = law.sample(2000, generator=seeded("cpu", 8))
    torch.testing.assert_close(law.log_prob(x) - toy.mixture.log_prob(x), toy.target(1.0)(x), **EXACT)
    with pytest.raises(ValueError, match="mean of a ComponentReward has no closed form"):
        toy.mean_value()


@pytest.mark.parametrize("guess", ["exact", "posterior mean"])
def test_smc_is_unbiased_in_z_and_in_the_mean_of_p_star(guess):
    oracle, alpha = plane(), 0.8
    target, mean = oracle.target(alpha), oracle.optimal_law(alpha).moments()[0]
    value = oracle.soft_value(alpha) if guess == "exact" else PosteriorMean(target)
    samples = smc(oracle, target, value, 16, ess_threshold=1.0).sample(2000, generator=seeded("cpu", 9), max_batch=9999)
    ratio = (samples.log_normalizer - oracle.log_normalizer(alpha)).exp()
    assert ratio.std() / math.sqrt(len(ratio)) < 0.05
    assert_mean(ratio, torch.tensor(1.0).double())
    offsets = (samples.log_weights.exp()[..., None] * (samples.states - mean)).sum(1)
    assert_mean(ratio[:, None] * offsets, torch.zeros(2).double())
    assert (oracle.mixture.moments()[0] - mean).abs().max() > 0.3


def test_bad_input_is_named():
    oracle = line()
    with pytest.raises(ValueError, match="alpha_bars: expected numbers that rise to 1"):
        GaussianMixtureDiffusion(oracle.mixture, torch.tensor([0.5, 0.2, 1.0]), BENT)
    with pytest.raises(ValueError, match="alpha_bars: expected numbers that rise to 1"):
        GaussianMixtureDiffusion(oracle.mixture, torch.tensor([0.1, 0.9]), BENT)
    with pytest.raises(ValueError, match="reward: expected one of 2 dimensions, got 1"):
        GaussianMixtureDiffusion(plane().mixture, oracle.alpha_bars, BENT)
    full = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.5, 1.0]]]))
    with pytest.raises(ValueError, match="mixture: expected diagonal covariances"):
        GaussianMixtureDiffusion(full, oracle.alpha_bars, plane().reward)
    moved = GaussianMixture(torch.ones(3), oracle.mixture.means + 1, 1.0)
    with pytest.raises(ValueError, match="reward: expected a ComponentReward of the same mixture"):
        oracle.with_reward(ComponentReward(moved, torch.ones(3)))
    with pytest.raises(TypeError, match="reward: expected a QuadraticReward or a ComponentReward"):
        oracle.with_reward(lambda x: x)
    with pytest.raises(ValueError, match="levels: expected finite numbers of at least 0"):
        ComponentReward(moved, torch.tensor([1.0, -1.0, 0.0]))
    with pytest.raises(ValueError, match=r"E\[exp\(reward/alpha\)\] is infinite"):
        oracle.with_reward(QuadraticReward([[-3.0]], [0.0])).log_normalizer(1.0)
    with pytest.raises(ValueError, match="variance: expected one of large, small, got 'tiny'"):
        GaussianMixtureDDPM(oracle, "tiny")
    with pytest.raises(ValueError, match="start: expected a number"):
        cosine_schedule(3, 1.0)
    with pytest.raises(ValueError, match="t_to: expected times at or before"):
        oracle.noise(torch.zeros(1, 1), torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
        oracle.soft_value(-1.0)
