"""Derivative-free adjoint matching: its adjoints have the expectation of the lean ones, exactly, at every policy.

Over the noise of the last step the candidates' differences are polynomials of degree 3 where the reward is quadratic,
so their mean over the 2n points ±√n e_i, n = candidates · dimension, is that over N(0, I).
"""

import math

import pytest
import torch
from control_toys import (
    ALPHA,
    LinearInX,
    chain_of,
    disturb,
    exact_batch,
    gaussian,
    gradient,
    make,
    memoryless,
    set_feedback,
)
from torch import nn

from svlearn.domains.analytic import GaussianMixture, GaussianMixtureDDPM, GaussianMixtureDiffusion, elbo
from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.metering import metered
from svlearn.objectives.adjoint_matching import AdjointMatching, lean_adjoints
from svlearn.objectives.derivative_free_adjoint import DerivativeFreeAdjointMatching, smoothed_gradient
from svlearn.objectives.fit import fit
from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.schedules import cosine_schedule
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

EXACT = dict(rtol=1e-10, atol=1e-10)


def rule(candidates, dim):
    """Noise (2n, candidates, dim) over which a mean is exact up to degree 3."""
    number = candidates * dim
    points = math.sqrt(number) * torch.cat([torch.eye(number), -torch.eye(number)]).double()
    return points.view(-1, candidates, dim)


def by_numpy(oracle):
    """The oracle's reward with no way for a gradient to pass."""
    matrix, vector = (part.numpy() for part in (oracle.reward.matrix, oracle.reward.vector))

    def reward(x):
        x = x.numpy()
        return torch.as_tensor(-0.5 * ((x @ matrix) * x).sum(1) + x @ vector)

    return Target(reward, ALPHA)


def black_box(oracle=None, **options):
    oracle = gaussian() if oracle is None else oracle
    policy = Controlled(oracle, LinearInX(oracle.dim, oracle.num_steps))
    return DerivativeFreeAdjointMatching(oracle, by_numpy(oracle), policy, **options)


def test_the_smoothed_gradient_by_hand():
    rewards = torch.tensor([[1.0, 5.0], [3.0, 5.0], [8.0, 2.0]])
    noise = torch.tensor([[[1.0, 0.0], [1.0, 1.0]], [[-2.0, 1.0], [0.0, 2.0]], [[0.5, 3.0], [1.0, 1.0]]])
    gains = [(1 - 5.5, 3 - 4.5, 8 - 2), (5 - 3.5, 5 - 3.5, 2 - 5)]
    std = torch.tensor([[2.0, 0.5]])
    for row in range(2):
        expected = sum(gain * noise[k, row] for k, gain in enumerate(gains[row])) / 3 / std[0]
        torch.testing.assert_close(smoothed_gradient(rewards, noise, std)[row], expected)


@pytest.mark.parametrize("candidates", [2, 3])
def test_its_expectation_is_the_gradient_of_a_quadratic(candidates):
    oracle = gaussian()
    mean, std = torch.tensor([0.3, -1.0, 2.0]).double(), torch.tensor([0.4, 1.0, 0.7]).double()
    noise = rule(candidates, 3).transpose(0, 1)
    rewards = oracle.reward((mean + std * noise).flatten(0, 1)).view(noise.shape[:2])
    gradient = smoothed_gradient(rewards, noise, std).mean(dim=0)
    torch.testing.assert_close(gradient, oracle.reward.vector - oracle.reward.matrix @ mean, **EXACT)


def test_where_the_reward_jumps_it_is_the_slope_of_the_smoothed_reward():
    """r = 1[x > 0]: E[r(m + s ε)] = Φ(m/s), of slope φ(m/s)/s."""
    mean, std = 0.4, 0.8
    noise = torch.randn(4, 200_000, 1, generator=seeded("cpu", 0), dtype=torch.float64)
    gradients = smoothed_gradient((mean + std * noise > 0).double().squeeze(2), noise, torch.tensor([[std]]).double())
    exact = math.exp(-0.5 * (mean / std) ** 2) / math.sqrt(2 * math.pi) / std
    assert abs(gradients.mean() - exact) < 4 * gradients.std() / math.sqrt(len(gradients))


def test_its_variance_does_not_depend_on_the_noise_where_the_reward_is_linear():
    noise = torch.randn(6, 50, 2, generator=seeded("cpu", 0), dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0]).double()
    gradients = [smoothed_gradient(5.0 + std * noise @ slope, noise, torch.tensor(std).double()) for std in (1.0, 1e-6)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-7, atol=1e-7)


def with_noise(monkeypatch, points, number):
    """Let the candidates of every trajectory see each point of the rule once."""
    noise = points.repeat(number, 1, 1).transpose(0, 1)
    monkeypatch.setattr(torch, "randn", lambda *shape, **options: noise)


def test_its_adjoints_have_the_expectation_of_the_lean_ones(monkeypatch):
    """Given x_0 ... x_{T-1}: ∇r/α at the mean of the policy's last step, run back through the reference."""
    objective = black_box(num_candidates=2)
    disturb(objective)
    states, points = roll_out(objective.policy, 4, generator=seeded("cpu", 0))["states"], rule(2, 3)
    chain, oracle = chain_of(objective), objective.reference
    mean = states[:, -2] @ chain.matrices[-1].T + chain.offsets[-1]
    at_the_mean = torch.cat([states[:, :-1], mean.detach()[:, None]], dim=1)
    expected, stds = lean_adjoints(oracle, at_the_mean, oracle.target(ALPHA))
    with_noise(monkeypatch, points, 4)
    adjoints, own_stds = objective.adjoints(states.repeat_interleave(len(points), 0), seeded("cpu", 0))
    torch.testing.assert_close(adjoints.view(4, len(points), 8, 3).mean(dim=1), expected, **EXACT)
    assert torch.equal(own_stds, stds) and not adjoints.requires_grad


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_its_expected_gradient_is_that_of_adjoint_matching_at_every_policy(scale, monkeypatch):
    lean, free = make(AdjointMatching), black_box(num_candidates=2)
    for objective in (lean, free):
        disturb(objective, scale)
    batch, points = exact_batch(lean), rule(2, 3)
    expected = gradient(lean, lean.loss(batch, seeded("cpu", 0)))
    with_noise(monkeypatch, points, len(batch["states"]))
    batch = {"states": batch["states"].repeat_interleave(len(points), 0)}
    torch.testing.assert_close(gradient(free, free.loss(batch, seeded("cpu", 0))), expected, **EXACT)
    assert expected.abs().max() > 0.03


def test_gradients_of_own_trajectories_vanish_in_the_mean_at_the_optimal_feedback():
    objective = black_box()
    set_feedback(objective, objective.reference.best_policy(ALPHA))
    drawn = []
    for step in range(50):
        generator = seeded("cpu", 5, step)
        drawn.append(gradient(objective, objective.loss(objective._trajectories(0, 64, generator), generator)))
    drawn = torch.stack(drawn)
    errors = drawn.std(dim=0) / math.sqrt(len(drawn))
    assert errors.max() < 0.05
    assert (drawn.mean(dim=0).abs() < 4 * errors).all()


class FreeLaw(Policy):
    """A policy that is not `Controlled`."""

    def steer(self, prediction, x, t):
        return prediction.transition

    def trained(self):
        return []


class Wave(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))

    def forward(self, x, t):
        return (self.weight * x).cos() + self.weight


def test_the_same_expectation_where_neither_mean_nor_reward_is_linear():
    """A mixture's DDPM and r = sin x: both adjoints of many copies of x_0 ... x_{T-1}, of which only x_T differs."""
    mixture = GaussianMixture(torch.ones(2), torch.tensor([[-1.0], [1.5]]), 0.3)
    reference = GaussianMixtureDDPM(
        GaussianMixtureDiffusion(mixture, cosine_schedule(4), QuadraticReward([[1.0]], [0.0]))
    )
    objective = DerivativeFreeAdjointMatching(
        reference, Target(lambda x: torch.as_tensor(x.numpy()).sin().sum(1), 0.5), Controlled(reference, Wave())
    )
    states = roll_out(objective.policy, 1, generator=seeded("cpu", 3))["states"].repeat(20_000, 1, 1)
    with torch.no_grad():
        law = objective.policy(states[:, 3], torch.full((len(states),), 3)).transition
    states[:, 4] = law.sample(generator=seeded("cpu", 4))
    lean, _ = lean_adjoints(reference, states, Target(lambda x: x.sin().sum(1), 0.5))
    free, _ = objective.adjoints(states, seeded("cpu", 5))
    errors = ((lean.var(dim=0) + free.var(dim=0)) / len(states)).sqrt()
    assert (errors < 0.05 * lean.mean(dim=0).abs() + 1e-3).all()
    assert ((lean.mean(dim=0) - free.mean(dim=0)).abs() < 4 * errors).all()


def test_calls_are_counted():
    objective = black_box(num_candidates=5)
    trajectories = objective._trajectories(0, 10, seeded("cpu", 0))
    with metered() as meter:
        objective.loss(trajectories, seeded("cpu", 0))
    counted = meter.cost
    assert (counted.policy_calls, counted.gradient_calls, counted.reward_calls) == (10 + 80, 70, 50)


class Fading(Reference):
    """x_{t+1} = sin x_t + s_t · noise."""

    def __init__(self, *stds):
        super().__init__()
        self.num_steps = len(stds)
        self.stds = torch.stack([torch.tensor(std, dtype=torch.float64).expand(2) for std in stds])

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator, dtype=torch.float64)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x.sin(), self.stds[t]))


@pytest.mark.parametrize("tail", [1, 2])
def test_steps_without_noise_at_the_end_are_a_part_of_the_reward(tail):
    """Adjoints and loss are those of the process that ends before them, of the reward of where they lead."""

    def finished(x):
        for _ in range(tail):
            x = x.sin()
        return torch.as_tensor((x.numpy() ** 3).sum(1))

    whole, short = Fading(0.5, 0.7, *[0.0] * tail), Fading(0.5, 0.7)
    ends = (lambda x: torch.as_tensor((x.numpy() ** 3).sum(1)), finished)
    figures = []
    for reference, reward in zip((whole, short), ends, strict=True):
        policy = Controlled(reference, Wave())
        objective = DerivativeFreeAdjointMatching(reference, Target(reward, ALPHA), policy, num_candidates=3)
        states = roll_out(Controlled(whole, Wave()), 7, generator=seeded("cpu", 0))["states"]
        states = states[:, : reference.num_steps + 1]
        adjoints, stds = objective.adjoints(states, seeded("cpu", 1))
        loss = objective.loss({"states": states}, seeded("cpu", 1))
        (slope,) = torch.autograd.grad(loss, policy.network.weight)
        assert adjoints.shape == states[:, 1:].shape and stds.shape == (1, reference.num_steps, 2)
        assert not adjoints[:, 2:].any() and not stds[:, 2:].any() and bool((adjoints[:, :2] != 0).all())
        figures.append((adjoints[:, :2], stds[:, :2], loss, slope))
    for one, other in zip(*figures, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_their_calls_are_counted():
    reference = Fading(0.5, 0.7, 0.0)
    target = Target(lambda x: x.sum(1), ALPHA)
    objective = DerivativeFreeAdjointMatching(reference, target, Controlled(reference, Wave()), num_candidates=5)
    trajectories = objective._trajectories(0, 10, seeded("cpu", 0))
    with metered() as meter:
        objective.adjoints(trajectories["states"], seeded("cpu", 0))
    counted = meter.cost
    assert (counted.policy_calls, counted.gradient_calls, counted.reward_calls) == (10, 10, 50)
    assert counted.reference_calls == 10 + 20 + 50  # of the policy, of the run back, of the candidates


def test_bad_arguments_are_refused_by_name():
    oracle, kind = gaussian(), DerivativeFreeAdjointMatching
    policy = Controlled(oracle, LinearInX(3, 8))
    for number in (1, 2.0, True):
        with pytest.raises(ValueError, match="num_candidates: expected an integer of at least 2"):
            kind(oracle, oracle.target(ALPHA), policy, num_candidates=number)
    partly = Fading(0.5, (0.5, 0.0), 0.0)
    with pytest.raises(ValueError, match="reference: expected a last step with noise.* Fading; PolicyGradient"):
        kind(partly, Target(lambda x: x.sum(1), 1.0), Controlled(partly, Wave()))
    with pytest.raises(ValueError, match="reward: expected a finite number at step T, got -inf at index 0"):
        kind(oracle, Target(lambda x: x.sum(1) - math.inf, ALPHA), policy)
    with pytest.raises(TypeError, match="policy: expected a policies.Controlled"):
        kind(oracle, oracle.target(ALPHA), FreeLaw(oracle))
    with pytest.raises(ValueError, match="data: DerivativeFreeAdjointMatching learns from fresh trajectories"):
        kind(oracle, oracle.target(ALPHA), policy).training_step(roll_out(oracle, 2), 0)


def test_the_same_seed_gives_the_same_bits_and_fit_warns_of_memory():
    learned = []
    for seed in (0, 0, 1):
        objective = black_box(memoryless(), batch_size=8, learning_rate=1e-2)
        learned.append(fit(objective, max_steps=5, seed=seed, enable_progress_bar=False).policy.network.weights)
    assert torch.equal(learned[0], learned[1]) and not torch.equal(learned[0], learned[2])
    with pytest.warns(UserWarning, match="not memoryless.* schedules.gaussian_steps with eta=1"):
        fit(black_box(batch_size=4), max_steps=1, enable_progress_bar=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:reference. not memoryless")
def test_it_learns_the_best_policy_of_a_reward_without_gradient():
    objective = black_box(learning_rate=2e-2, batch_size=256)
    oracle = objective.reference
    fit(objective, max_steps=1500, seed=0, enable_progress_bar=False)
    best, plain = oracle.best_elbo(ALPHA), elbo(oracle, oracle, ALPHA)
    with torch.no_grad():
        learned = elbo(chain_of(objective), oracle, ALPHA)
    assert best - plain > 0.05
    assert 0 <= best - learned < 1e-3
