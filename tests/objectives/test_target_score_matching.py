"""Target score matching: its target has the optimal control as expectation, exactly, on linear-Gaussian references.

Along p* of a quadratic reward the score at x_T is affine in x_T, so a conditional expectation of the target is the
target at the conditional mean of x_T. On a mixture's DDPM the expectations are sums over a grid.
"""

import math

import pytest
import torch
from control_toys import ALPHA, LinearInX, chain_of, disturb, gradient, set_feedback
from torch import nn

from svlearn.domains.analytic import (
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    GaussianReference,
    LinearGaussianChain,
    QuadraticReward,
    elbo,
)
from svlearn.domains.analytic.quadratic import factor
from svlearn.metering import metered
from svlearn.objectives.fit import fit
from svlearn.objectives.target_score_matching import TargetScoreMatching, posterior_mean, target_control
from svlearn.policies import Controlled
from svlearn.policies.policy import Policy
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.schedules import NoiseLevels, cosine_schedule, gaussian_steps
from svlearn.targets import Target, unnormalized_density
from svlearn.transitions import GaussianTransition

EXACT = dict(rtol=1e-10, atol=1e-10)
AXIS = torch.linspace(-8, 8, 1601, dtype=torch.float64)[:, None]
CELL = 16 / 1600
REFERENCES = {
    "stationary": GaussianReference.ornstein_uhlenbeck(3, 8, correlation=0.7),
    "forgetful": GaussianReference.ornstein_uhlenbeck(3, 8, std=1.3, correlation=1e-6),
    "brownian": GaussianReference.brownian(3, 8, std=1.5),
    "mixed": GaussianReference(3, torch.tensor([0.5, 1.2, 0.9, 1.0]), torch.tensor([0.5, 0.8, 0.6, 0.4]), 0.7),
}


def make(name="stationary", **options):
    """The objective on a Gaussian reference written as a linear-Gaussian chain, with a quadratic reward."""
    reference = REFERENCES[name]
    drawn = LinearGaussianChain.random(dim=3, num_steps=1, seed=0).reward
    identity = torch.eye(3, dtype=torch.float64)
    oracle = LinearGaussianChain(
        torch.zeros(3), reference.variances[0], reference.scales[:, None, None] * identity,
        torch.zeros(reference.num_steps, 3), reference.stds, drawn,
    )  # fmt: skip
    policy = Controlled(oracle, LinearInX(3, oracle.num_steps))
    arguments = dict(levels=reference.noise_levels(), log_reference=reference.log_reference) | options
    return TargetScoreMatching(oracle, oracle.target(ALPHA), policy, **arguments)


def test_the_posterior_mean_and_the_control_by_hand():
    x, finished, score = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]]), torch.tensor([[0.5, 1.0]])
    clean = posterior_mean(x, finished, score, scale=0.5, std=2.0, variance=3.0)
    expected = [(4 * (3 + 3 * 0.5) + 3 * 0.5 * 1) / (4 + 0.75), (4 * (-1 + 3) + 3 * 0.5 * 2) / 4.75]
    torch.testing.assert_close(clean, torch.tensor([expected]))
    torch.testing.assert_close(posterior_mean(x, finished, score, 0.0, 0.0, 3.0), finished + 3 * score)
    law = GaussianTransition(torch.tensor([[0.5, 0.0]]), torch.tensor([[2.0, 1.0]]))
    control = target_control(law, x, finished, kept=0.2, added=0.8)
    torch.testing.assert_close(control, torch.tensor([[(0.2 + 2.4 - 0.5) / 4, 0.4 - 0.8]]))


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("variance", [0.2, 1.0, 30.0])
def test_the_expected_target_is_the_optimal_feedback_at_every_state(name, variance):
    """E_p*[y_t | x_t] = E_p*[x_{t+1} - m_t | x_t]/s_t², the best Gaussian policy's, in discrete time."""
    objective = make(name, variance=variance)
    oracle = objective.reference
    best, law = oracle.best_policy(ALPHA), oracle.reward.quadratic.scaled(1 / ALPHA)
    for t in range(oracle.num_steps):
        x = torch.randn(6, 3, generator=seeded("cpu", t), dtype=torch.float64)
        x = x if objective.levels.stds[t] > 0 else torch.zeros_like(x)  # x_0 of the Brownian reference is a point
        tilt = law.tilt(factor(oracle.clean_covariances[t], "covariance"), t)
        finished = (x @ oracle.clean_matrices[t].T + oracle.clean_offsets[t]) @ tilt.shrink.T + tilt.shift
        control, std = objective.wanted(x, finished, objective.score(finished), t)
        torch.testing.assert_close(std, oracle.stds[t].expand(6, 3))
        steered, plain = (x @ chain.matrices[t].T + chain.offsets[t] for chain in (best, oracle))
        torch.testing.assert_close(control, (steered - plain) / oracle.stds[t] ** 2, **EXACT)


def test_the_target_has_no_variance_where_p_star_is_a_gaussian_of_the_given_one():
    objective = make()
    objective.target = Target(lambda x: -1.5 * x.square().sum(1) + x.sum(1), ALPHA)  # p* = N(·, 1/(1 + 3/α))
    objective.variance = 1 / (1 + 3 / ALPHA)
    x, finished = torch.ones(50, 3).double(), torch.randn(50, 3, generator=seeded("cpu", 0), dtype=torch.float64)
    controls = [objective.wanted(x, finished, objective.score(finished), t)[0] for t in range(8)]
    assert torch.stack(controls).std(dim=1).max() < 1e-10
    objective.variance = 1.0
    assert objective.wanted(x, finished, objective.score(finished), 4)[0].std(dim=0).min() > 0.1


def mixture(num_steps=5, start=0.0):
    """Two modes tilted by a curved reward, and the same noising of p*'s own mixture."""
    law = GaussianMixture(torch.tensor([0.4, 0.6]), torch.tensor([[-1.5], [1.0]]), torch.tensor([0.2, 0.5]))
    diffusion = GaussianMixtureDiffusion(law, cosine_schedule(num_steps, start), QuadraticReward([[0.6]], [0.9]))
    tilted = GaussianMixtureDiffusion(diffusion.optimal_law(0.7), diffusion.alpha_bars, diffusion.reward)
    return GaussianMixtureDDPM(diffusion), tilted


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def forward(self, x, t):
        return (self.weight * x).cos() + self.weight


def on_mixture(start=0.0, variance=1.0):
    reference, tilted = mixture(start=start)
    objective = TargetScoreMatching(
        reference, reference.target(0.7), Controlled(reference, Wave()), levels=reference.noise_levels(),
        log_reference=reference.diffusion.mixture.log_prob, variance=variance,
    )  # fmt: skip
    return objective, tilted


@pytest.mark.parametrize("start", [0.0, 0.1])
@pytest.mark.parametrize("variance", [0.3, 1.0, 4.0])
def test_the_expected_target_moves_the_mean_to_that_of_noised_p_star(start, variance):
    """By Bayes' rule on a grid: of x_T given x_t on the left, of x_{t+1} given x_t on the right."""
    objective, tilted = on_mixture(start, variance)
    bars, points = tilted.alpha_bars, torch.tensor([-1.8, 0.1, 1.4]).double()
    score = objective.score(AXIS)
    for t in range(tilted.num_steps):
        kernel = torch.distributions.Normal(bars[t].sqrt() * AXIS, (1 - bars[t]).sqrt())
        kept = bars[t] / bars[t + 1]
        step = torch.distributions.Normal(kept.sqrt() * AXIS, (1 - kept).sqrt())
        for x in points:
            weights = (tilted.mixture.log_prob(AXIS) + kernel.log_prob(x)[:, 0]).softmax(dim=0)
            control, std = objective.wanted(x.expand_as(AXIS), AXIS, score, t)
            weights_next = (tilted.marginal(t + 1).log_prob(AXIS) + step.log_prob(x)[:, 0]).softmax(dim=0)
            mean = predict(objective.reference, x[None, None], t).transition.mean[0, 0]
            expected = (weights_next @ AXIS[:, 0] - mean) / std[0, 0] ** 2
            torch.testing.assert_close(weights @ control[:, 0], expected, rtol=1e-8, atol=1e-8)


def carried(num_steps):
    """Along the minimiser's policy, on a grid: the total variation of x_T's law and p*, and the ELBO less the best.

    The best ELBO of the class by dynamic programming over the mean of each step, refined by a parabola.
    """
    reference, tilted = mixture(num_steps)
    grid, width = AXIS[::4], 4 * CELL
    x, steps = grid[:, 0], gaussian_steps(reference.noise_levels())
    plain = [predict(reference, grid, t).transition for t in range(num_steps)]
    policy = []
    for t, law in enumerate(plain):
        clean = predict(tilted, grid, t).clean
        policy.append(law.tilt(target_control(law, grid, clean, float(steps.kept[t]), float(steps.added[t]))))
    density = start = reference.diffusion.marginal(0).log_prob(grid).exp()
    best = own = reference.diffusion.reward(grid) / 0.7
    for law in policy:
        density = width * density @ torch.distributions.Normal(law.mean, law.std).log_prob(x).exp()
    for law, moved in zip(reversed(plain), reversed(policy), strict=True):
        std = law.std[0, 0]
        onward = width * torch.distributions.Normal(grid, std).log_prob(x).exp() @ best
        choices = onward - 0.5 * ((x - law.mean) / std) ** 2
        place = choices.argmax(dim=1, keepdim=True).clamp(1, len(x) - 2)
        below, top, above = (choices.gather(1, place + side)[:, 0] for side in (-1, 0, 1))
        best = top - (below - above) ** 2 / (8 * (below - 2 * top + above))
        cost = 0.5 * ((moved.mean - law.mean) / std)[:, 0] ** 2
        own = width * torch.distributions.Normal(moved.mean, std).log_prob(x).exp() @ own - cost
    apart = 0.5 * width * (density - tilted.mixture.log_prob(grid).exp()).abs().sum()
    return apart.item(), (width * start @ (best - own)).item()


def test_its_policy_tends_to_p_star_and_to_the_best_elbo_with_the_number_of_steps():
    (few, wide), (more, less), (many, least) = (carried(number) for number in (10, 20, 40))
    assert 0.002 < many < 0.05
    assert few > 1.6 * more and more > 1.6 * many
    assert (wide, less, least) == pytest.approx((0.0119, 0.0036, 0.0010), abs=1e-4)


@pytest.mark.parametrize("stored", [False, True])
def test_the_weights_turn_the_drawn_law_into_p_star(stored):
    objective = make()
    disturb(objective, 0.1)
    oracle, target = objective.reference, objective.target
    batch = roll_out(oracle, 20_000, target=target, generator=seeded("cpu", 0)) if stored else 0
    trajectories = objective._trajectories(batch, 20_000, seeded("cpu", 0))
    with torch.no_grad():
        weights = objective.log_weights(trajectories, objective.log_ratios(trajectories["states"])).exp()
    offsets = weights[:, None] * (trajectories["states"][:, -1] - oracle.optimal_marginals(ALPHA)[0][-1])
    assert (offsets.mean(dim=0).abs() < 4 * offsets.std(dim=0) / math.sqrt(len(offsets))).all()
    plain = trajectories["states"][:, -1].mean(dim=0) - oracle.optimal_marginals(ALPHA)[0][-1]
    assert plain.abs().max() > 0.1


@pytest.mark.parametrize("stored", [False, True])
def test_the_gradient_vanishes_in_the_mean_at_the_optimal_feedback_and_only_there(stored):
    objective = make(variance=0.4)
    set_feedback(objective, objective.reference.best_policy(ALPHA))

    def gradients():
        drawn = []
        for step in range(60):
            generator = seeded("cpu", 5, step)
            batch = roll_out(objective.reference, 128, target=objective.target, generator=generator) if stored else 0
            drawn.append(gradient(objective, objective.loss(objective._trajectories(batch, 128, generator), generator)))
        drawn = torch.stack(drawn)
        return drawn.mean(dim=0), drawn.std(dim=0) / math.sqrt(len(drawn))

    mean, errors = gradients()
    assert errors.max() < 0.05
    assert (mean.abs() < 4 * errors).all()
    disturb(objective, 0.05)
    mean, errors = gradients()
    assert (mean.abs() > 4 * errors).any()


def test_the_score_of_an_unnormalized_density_is_its_own():
    reference, finished = REFERENCES["brownian"], torch.randn(5, 3, generator=seeded("cpu", 0), dtype=torch.float64)

    def log_density(x):
        return -(x**4).sum(1) + x.sum(1)

    objective = TargetScoreMatching(
        reference, unnormalized_density(log_density, reference.log_reference),
        Controlled(reference, LinearInX(3, 8)), levels=reference.noise_levels(), log_reference=reference.log_reference,
    )  # fmt: skip
    torch.testing.assert_close(objective.score(finished), 1 - 4 * finished**3, **EXACT)


def test_calls_are_counted():
    objective = make()
    trajectories = objective._trajectories(0, 10, seeded("cpu", 0))
    with metered() as meter:
        objective.loss(trajectories, seeded("cpu", 0))
    assert (meter.cost.reference_calls, meter.cost.reward_calls) == (160, 10)  # half of them for the weights


class FreeLaw(Policy):
    """A policy that is not `Controlled`."""

    def steer(self, prediction, x, t):
        return prediction.transition

    def trained(self):
        return []


def test_bad_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match="levels: expected a schedules.NoiseLevels, got Tensor"):
        make(levels=torch.ones(9))
    with pytest.raises(ValueError, match="levels: expected 8 steps, as the reference, got 1"):
        make(levels=NoiseLevels(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])))
    with pytest.raises(TypeError, match="log_reference: expected a callable of states, got NoneType"):
        make(log_reference=None)
    with pytest.raises(ValueError, match="log_reference: expected one that torch can differentiate"):
        make(log_reference=lambda x: x.detach().sum(1))
    for variance in (0.0, math.inf, -1.0):
        with pytest.raises(ValueError, match="variance: expected a finite number above 0"):
            make(variance=variance)
    objective = make()
    options = dict(levels=objective.levels, log_reference=objective.log_reference)
    oracle, policy = objective.reference, objective.policy
    with pytest.raises(ValueError, match="reward: .* without a gradient; DerivativeFreeAdjointMatching"):
        TargetScoreMatching(oracle, Target(lambda x: torch.as_tensor(x.numpy()).sum(1), ALPHA), policy, **options)
    with pytest.raises(ValueError, match="reward: expected a finite number at step T, got -inf"):
        TargetScoreMatching(oracle, Target(lambda x: x.sum(1) - math.inf, ALPHA), policy, **options)
    with pytest.raises(TypeError, match="policy: expected a policies.Controlled, got FreeLaw"):
        TargetScoreMatching(oracle, oracle.target(ALPHA), FreeLaw(oracle), **options)
    small = GaussianMixtureDDPM(mixture()[0].diffusion, "small")
    options = dict(levels=small.noise_levels(), log_reference=small.diffusion.mixture.log_prob)
    with pytest.raises(ValueError, match="reference: expected noise at every step, got a std of 0 at step 4"):
        TargetScoreMatching(small, small.target(0.7), Controlled(small, Wave()), **options)


def test_the_same_seed_gives_the_same_bits_and_fit_warns_of_memory():
    learned = []
    for seed in (0, 0, 1):
        objective = make("forgetful", batch_size=8, learning_rate=1e-2)
        learned.append(fit(objective, max_steps=5, seed=seed, enable_progress_bar=False).policy.network.weights)
    assert torch.equal(learned[0], learned[1]) and not torch.equal(learned[0], learned[2])
    with pytest.warns(UserWarning, match="not memoryless"):
        fit(make("stationary", batch_size=4), max_steps=1, enable_progress_bar=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forgetful", "brownian"])
def test_it_learns_the_best_policy(name):
    objective = make(name, learning_rate=2e-2, batch_size=256)
    oracle = objective.reference
    fit(objective, max_steps=1500, seed=0, enable_progress_bar=False)
    best, plain = oracle.best_elbo(ALPHA), elbo(oracle, oracle, ALPHA)
    with torch.no_grad():
        learned = elbo(chain_of(objective), oracle, ALPHA)
    assert best - plain > 0.05
    assert 0 <= best - learned < 1e-3
