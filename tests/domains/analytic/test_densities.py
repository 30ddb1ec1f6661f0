"""The sampler benchmarks against quadrature, published numbers, torch.distributions and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from svlearn.domains.analytic.densities import Funnel, MixtureDensity, Wells, double_well, gmm40, many_well
from svlearn.domains.analytic.gaussian_reference import GaussianReference
from svlearn.domains.analytic.mixture import GaussianMixture, GaussianMixtureTransition
from svlearn.inference.samplers import ancestral, smc
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back
from svlearn.values import Zero

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def well(x):
    return -(x**4) + 6 * x**2 + 0.5 * x


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded("cpu", seed), dtype=torch.float64)


def assert_mean(values, expected):
    """Within 4 standard errors."""
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - expected) < 4 * error


def assert_covers(samples, distribution):
    """Kolmogorov-Smirnov at 1 in 1000: the largest gap to the exact distribution function, given as a callable."""
    ordered, number = samples.sort().values, len(samples)
    exact = torch.as_tensor(distribution(ordered.numpy()))
    steps = torch.arange(number + 1) / number
    assert torch.maximum((exact - steps[:-1]).abs(), (exact - steps[1:]).abs()).max() < 1.95 / math.sqrt(number)


def test_the_mixture_is_that_of_torch_distributions():
    weights, means = torch.tensor([0.2, 0.5, 0.3]).double(), normal(3, 2)
    roots = normal(3, 2, 2, seed=1) + 2 * torch.eye(2).double()
    mixture = GaussianMixture(weights, means, roots @ roots.mT)
    exact = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights), torch.distributions.MultivariateNormal(means, roots @ roots.mT)
    )
    x = 2 * normal(6, 2, seed=2)
    torch.testing.assert_close(mixture.log_prob(x), exact.log_prob(x), **EXACT)
    torch.testing.assert_close(mixture.moments()[0], exact.mean, **EXACT)
    torch.testing.assert_close(mixture.moments()[1].diagonal(), exact.variance, **EXACT)
    samples = mixture.sample(40_000, generator=seeded("cpu", 3))
    mean, covariance = mixture.moments()
    for i in range(2):
        assert_mean(samples[:, i], mean[i])
        for j in range(2):
            assert_mean((samples[:, i] - mean[i]) * (samples[:, j] - mean[j]), covariance[i, j])


def test_the_quadrature_of_a_mixture_knows_its_moments():
    mixture = GaussianMixture(torch.tensor([1.0, 3.0]), normal(2, 2), torch.tensor([[0.5, 1.0], [2.0, 0.2]]))
    mean, covariance = mixture.moments()
    torch.testing.assert_close(mixture.expectation(lambda x: x[:, 1]), mean[1], **EXACT)
    second = mixture.expectation(lambda x: x[:, 0] * x[:, 1])
    torch.testing.assert_close(second - mean[0] * mean[1], covariance[0, 1], **EXACT)
    with pytest.raises(ValueError, match="at most 3 dimensions"):
        GaussianMixture(torch.ones(1), torch.zeros(1, 4), 1.0).expectation(lambda x: x[:, 0])


def test_a_mixture_transition_follows_its_rows_and_tilts_exactly():
    law = GaussianMixtureTransition(normal(3, 4), normal(3, 4, 2, seed=1), 0.3 + normal(3, 4, 2, seed=2).abs())
    x, gradient = normal(3, 2, seed=3), normal(3, 2, seed=4)
    for row in range(3):
        exact = torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=law.log_weights[row]),
            torch.distributions.Independent(torch.distributions.Normal(law.means[row], law.stds[row]), 1),
        )
        torch.testing.assert_close(law.log_prob(x)[row], exact.log_prob(x[row]), **EXACT)
        torch.testing.assert_close(law.mean[row], exact.mean, **EXACT)
        torch.testing.assert_close(law.variance[row], exact.variance, **EXACT)
    # the ratio to self · exp(<g, x>) must not depend on x: it is the normaliser
    tilted, other = law.tilt(gradient), normal(3, 2, seed=5)
    gaps = [tilted.log_prob(y) - law.log_prob(y) - (gradient * y).sum(1) for y in (x, other)]
    torch.testing.assert_close(*gaps, **EXACT)
    again = GaussianMixtureTransition.cat([law[torch.tensor([2])], law[:2]])
    torch.testing.assert_close(again.log_prob(x[[2, 0, 1]]), law.log_prob(x)[[2, 0, 1]])
    many = law[torch.zeros(40_000, dtype=torch.long)].sample(generator=seeded("cpu", 6))
    for i in range(2):
        assert_mean(many[:, i], law.mean[0, i])
        assert_mean((many[:, i] - law.mean[0, i]) ** 2, law.variance[0, i])


def test_gmm40_is_that_of_fab():
    density = gmm40()
    # the first means as they are printed in the literature
    listed = torch.tensor([[-0.2995, 21.4577], [-32.9218, -29.4376], [-15.4062, 10.7263]]).double()
    torch.testing.assert_close(density.mixture.means[:3], listed, rtol=0, atol=1e-4)
    assert density.mixture.means.shape == (40, 2) and density.mixture.means.abs().max() <= 40
    std = math.log1p(math.e)
    torch.testing.assert_close(
        density.mixture.covariances, std**2 * torch.eye(2).double().expand(40, 2, 2), rtol=1e-12, atol=0
    )
    axis = torch.linspace(-50, 50, 201, dtype=torch.float64)
    mass = density.log_density(torch.cartesian_prod(axis, axis)).exp().sum() * 0.5**2
    assert mass.item() == pytest.approx(math.exp(density.log_normalizer), abs=1e-10)


def test_the_funnel_is_a_product_of_conditionals_and_sums_to_one():
    density, x = Funnel(), normal(5, 10)
    zero, three = torch.tensor([0.0, 3.0], dtype=torch.float64)
    first = torch.distributions.Normal(zero, three).log_prob(x[:, 0])
    rest = torch.distributions.Normal(zero, (0.5 * x[:, :1]).exp()).log_prob(x[:, 1:]).sum(1)
    torch.testing.assert_close(density.log_density(x), first + rest, **EXACT)
    assert density.dim == 10 and density.log_normalizer == 0
    samples = density.sample(40_000, generator=seeded("cpu", 1))
    assert_mean(samples[:, 0] ** 2, 9.0)
    assert_mean(samples[:, 3] ** 2 * (-samples[:, 0]).exp(), 1.0)
    assert_mean(samples[:, 3] * samples[:, 4] * (-samples[:, 0]).exp(), 0.0)


@pytest.mark.parametrize("dim", [2, 6])
def test_log_z_of_many_well_by_quadrature(dim):
    one = integrate.quad(lambda x: math.exp(well(x)), -6, 6, epsabs=0, epsrel=1e-12)[0]
    expected = dim / 2 * (math.log(one) + 0.5 * math.log(2 * math.pi))
    assert many_well(dim).log_normalizer.item() == pytest.approx(expected, abs=1e-9)


def test_log_z_of_the_many_well_in_32_dimensions_is_the_published_one():
    assert many_well(32).log_normalizer.item() == pytest.approx(164.69567532, abs=1e-7)


@pytest.mark.parametrize(("num_wells", "delta", "dim"), [(5, 4.0, 5), (1, 0.5, 4), (3, -1.0, 3), (0, 1.0, 2)])
def test_log_z_of_double_wells_by_quadrature(num_wells, delta, dim):
    one = integrate.quad(lambda x: math.exp(-((x**2 - delta) ** 2)), -6, 6, epsabs=0, epsrel=1e-12, points=[-2, 2])[0]
    expected = num_wells * math.log(one) + 0.5 * (dim - num_wells) * math.log(2 * math.pi)
    assert double_well(num_wells, delta, dim).log_normalizer.item() == pytest.approx(expected, abs=1e-9)


def test_the_densities_of_the_wells_by_hand():
    x = torch.tensor([[1.0, 2.0, -1.0, 3.0]], dtype=torch.float64)
    assert many_well(4).log_density(x).item() == pytest.approx((5.5 - 2.0) + (4.5 - 4.5))
    # (1 - 3)², (4 - 3)², then the normal places
    assert double_well(2, 3.0, 4).log_density(x).item() == pytest.approx(-4 - 1 - 0.5 - 4.5)


@pytest.mark.parametrize(("density", "potential"), [(many_well(2), well), (double_well(1, 4.0, 2), None)])
def test_draws_of_wells_have_the_exact_distribution(density, potential):
    potential = potential or (lambda x: -((x**2 - 4) ** 2))
    grid = np.linspace(-6, 6, 200_001)
    masses = np.exp([potential(x) - 12 for x in grid])
    exact = integrate.cumulative_simpson(masses, x=grid, initial=0)
    exact /= exact[-1]

    def distribution(x):
        return np.interp(x, grid, exact)

    # the sampler's own distribution function, without any noise
    own = np.abs(density.distribution.numpy() - distribution(density.grid.numpy()))
    assert own.max() < 1e-6
    samples = density.sample(40_000, generator=seeded("cpu", 2))
    assert_covers(samples[:, 0], distribution)
    assert_covers(samples[:, 1], lambda x: torch.special.ndtr(torch.as_tensor(x)))


@pytest.mark.parametrize(
    ("density", "centre", "width"),
    [
        (gmm40(), gmm40().mixture.means[0], 1.0),
        (Funnel(4), torch.zeros(4), 0.5),
        (many_well(4), torch.tensor([1.75, 0.0, 1.75, 0.0]), 0.2),
        (double_well(2, 2.0, 3), torch.tensor([1.41, -1.41, 0.0]), 0.2),
    ],
)
def test_draws_give_the_normaliser_by_importance_weights(density, centre, width):
    """E_π[q/π̃] = 1/Z for any normalised q inside of π: here a bump at one of the modes."""
    samples = density.sample(100_000, generator=seeded("cpu", 5))
    log_bump = torch.distributions.Normal(centre.double(), width).log_prob(samples).sum(1)
    weights = (log_bump - density.log_density(samples) + density.log_normalizer).exp()
    assert weights.std() / math.sqrt(len(weights)) < 0.05
    assert_mean(weights, 1.0)


REFERENCES = {
    "brownian": GaussianReference.brownian(2, 5, std=2.0),
    "stationary": GaussianReference.ornstein_uhlenbeck(2, 5, std=2.0, correlation=0.3),
    "any": GaussianReference(2, [0.9, 1.2, 0.5], [0.4, 0.0, 0.7], 1.5),
}
each_reference = pytest.mark.parametrize("name", REFERENCES)


@each_reference
def test_the_law_of_the_last_state_is_the_known_one(name):
    reference = REFERENCES[name]
    samples = ancestral(reference).sample(40_000, generator=seeded("cpu", 6)).states[:, 0]
    variance = reference.variances[-1]
    if name != "any":
        assert variance.item() == pytest.approx(4.0, abs=1e-12)
    assert_mean(samples[:, 0] ** 2, variance)
    exact = torch.distributions.Normal(0.0, variance.sqrt()).log_prob(samples).sum(1)
    torch.testing.assert_close(reference.log_reference(samples), exact, **EXACT)


@each_reference
def test_clean_law_and_noise_are_the_conditionals_of_the_joint_gaussian(name):
    reference = REFERENCES[name]
    steps = reference.num_steps
    covariance = torch.diag(reference.variances)
    for s in range(steps + 1):
        for t in range(s + 1, steps + 1):
            covariance[s, t] = covariance[t, s] = reference.scales[s:t].prod() * reference.variances[s]
    x = normal(3, 2)
    for t in range(steps):
        now = torch.full((3,), t)
        law = predict(reference, x, t).clean_law
        slope = covariance[t, -1] / covariance[t, t] if covariance[t, t] > 0 else torch.zeros(())
        if covariance[t, t] > 0:
            torch.testing.assert_close(law.mean, slope * x, **EXACT)
        left = covariance[-1, -1] - slope**2 * covariance[t, t]
        torch.testing.assert_close(law.std[:, 0] ** 2, left.expand(3).double(), **EXACT)
        many = x[:1].expand(40_000, 2)
        later = torch.full((40_000,), steps)
        back = reference.noise(many, later, torch.full((40_000,), t), generator=seeded("cpu", 7, t))
        gain = covariance[t, -1] / covariance[-1, -1]
        spread = (covariance[t, t] - gain**2 * covariance[-1, -1]).clamp(min=0).sqrt()
        assert ((back.mean(0) - gain * x[0]).abs() <= 4 * spread / 200 + 1e-12).all()
        assert ((back.std(0) - spread).abs() <= 4 * spread / math.sqrt(80_000) + 1e-12).all()
        torch.testing.assert_close(reference.noise(x, now, now, generator=seeded("cpu", 0)), x, **EXACT)


def test_rolling_back_the_reference_gives_its_own_paths():
    reference = REFERENCES["any"]
    finished = reference.variances[-1].sqrt() * normal(40_000, 2, seed=8)
    path = roll_back(reference, finished, generator=seeded("cpu", 9))["states"]
    for t in range(4):
        assert_mean(path[:, t, 0] ** 2, reference.variances[t])
    for t in range(3):
        residual = path[:, t + 1, 0] - reference.scales[t] * path[:, t, 0]
        if reference.stds[t] == 0:
            assert residual.abs().max() < 1e-6
        else:
            assert_mean(residual**2, reference.stds[t] ** 2)
            assert_mean(residual * path[:, t, 0], 0.0)


def test_mutual_information_by_hand():
    assert REFERENCES["brownian"].mutual_information() == 0
    assert REFERENCES["stationary"].mutual_information().item() == pytest.approx(-math.log(1 - 0.09))


def test_smc_towards_a_density_is_unbiased_in_its_z():
    density = double_well(1, 1.0, 2)
    reference = GaussianReference.brownian(2, 5, std=1.3)
    target = density.target(reference)
    samples = smc(reference, target, Zero(), 16).sample(3000, generator=seeded("cpu", 10))
    ratio = (samples.log_normalizer - density.log_normalizer).exp()
    assert ratio.std() / math.sqrt(len(ratio)) < 0.02
    assert_mean(ratio, 1.0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="dim: expected an even number"):
        many_well(3)
    with pytest.raises(ValueError, match="num_wells: expected 0 to 2, got 3"):
        double_well(3, 1.0, 2)
    with pytest.raises(ValueError, match="coefficients: expected an even degree and the last below 0"):
        Wells(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([True]))
    with pytest.raises(ValueError, match="wells: expected a bool tensor"):
        Wells(torch.tensor([0.0, 0.0, -1.0]), torch.ones(2))
    with pytest.raises(ValueError, match="dim: expected at least 2"):
        Funnel(1)
    with pytest.raises(ValueError, match="reference: expected 10 dimensions, got 2"):
        Funnel().target(REFERENCES["brownian"])
    with pytest.raises(ValueError, match="weights: expected numbers of at least 0"):
        GaussianMixture(torch.tensor([1.0, -1.0]), torch.zeros(2, 1), 1.0)
    with pytest.raises(ValueError, match="covariances: expected symmetric positive definite"):
        GaussianMixture(torch.ones(2), torch.zeros(2, 1), 0.0)
    with pytest.raises(ValueError, match="means: expected shape"):
        MixtureDensity(GaussianMixture(torch.ones(2), torch.zeros(2), 1.0))
    with pytest.raises(ValueError, match="stds: expected an x_T of a variance above 0"):
        GaussianReference(1, [1.0], [0.0])
    with pytest.raises(ValueError, match="correlation: expected a number"):
        GaussianReference.ornstein_uhlenbeck(1, 2, correlation=1.0)
    with pytest.raises(ValueError, match="t_to: expected times at or before"):
        REFERENCES["any"].noise(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(ValueError, match="log_weights: expected shape"):
        GaussianMixtureTransition(torch.zeros(2, 3), torch.zeros(2, 4, 1), 1.0)
    with pytest.raises(ValueError, match="stds: expected numbers above 0"):
        GaussianMixtureTransition(torch.zeros(2, 3), torch.zeros(2, 3, 1), 0.0)
