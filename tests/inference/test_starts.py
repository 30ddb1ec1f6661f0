"""Starts that know the reward: detailed balance of a move, Z and p* exactly, what they cost, and who is refused."""

import math

import pytest
import torch
from start_toys import EXACT, Posterior
from tensordict import TensorDict

import svlearn as sv
from svlearn.domains.analytic import (
    FiniteMarkovChain,
    GaussianMixture,
    GaussianMixtureDDPM,
    GaussianMixtureDiffusion,
    LinearGaussianChain,
    QuadraticReward,
)
from svlearn.inference.starts import CrankNicolson
from svlearn.inference.starts.crank_nicolson import Points, log_acceptance, proposed
from svlearn.policies import Controlled
from svlearn.process import Prediction, Reference
from svlearn.randomness import randn, seeded
from svlearn.transitions import FieldTransition, GaussianTransition
from svlearn.values import Learned, PosteriorMean, Zero

GROUPS = 2000


# A move --------------------------------------------------------------------------------------------------------------


def points_at(places, mixture, drift):
    """u = log of a mixture's density, and its gradient, at places (N, d)."""
    places = places.clone().requires_grad_()
    twists = mixture.log_prob(places)
    (slopes,) = torch.autograd.grad(twists.sum(), places)
    return Points(places.detach(), twists.detach(), slopes if drift else None)


@pytest.mark.parametrize("drift", [True, False])
@pytest.mark.parametrize(("level", "step"), [(0.4, 0.3), (1.0, 0.9), (1.0, 1.0)])
def test_a_move_is_in_detailed_balance(drift, level, step):
    """π(x) q(x' | x) min(1, a(x, x')) = π(x') q(x | x') min(1, a(x', x)), q by the mean and the spread of a move."""
    mixture = GaussianMixture(torch.tensor([0.7, 0.3]), torch.tensor([[1.5, 0.0, 1.0], [-1.5, 0.5, 0.0]]), 0.4)
    mean, std = torch.tensor([0.5, -1.0, 0.0], dtype=EXACT), torch.tensor([[1.0, 0.5, 2.0]], dtype=EXACT)
    law = GaussianTransition(mean.expand(64, 3), std)
    old, new = (points_at(law.sample(generator=seeded("cpu", seed)), mixture, drift) for seed in (0, 1))

    def flow(here, there):
        middle = proposed(here, law, level, step, torch.zeros(64, 3, dtype=EXACT))
        move = GaussianTransition(middle, step * std).log_prob(there.places)
        stays = log_acceptance(here, there, law, level, step).clamp(max=0)
        return law.log_prob(here.places) + level * here.log_twists + move + stays

    torch.testing.assert_close(flow(old, new), flow(new, old), atol=1e-10, rtol=0)
    noise = randn((64, 3), seeded("cpu", 2), torch.device("cpu"), EXACT)
    spread = proposed(old, law, level, step, noise) - proposed(old, law, level, step, 0 * noise)
    torch.testing.assert_close(spread, step * std * noise)


@pytest.mark.parametrize("drift", [True, False])
def test_where_nothing_is_to_be_known_every_move_is_accepted(drift):
    law = GaussianTransition(torch.zeros(8, 2, dtype=EXACT), 1.0)
    zero = torch.zeros(8, dtype=EXACT)
    old, new = (
        Points(law.sample(generator=seeded("cpu", s)), zero, torch.zeros(8, 2) if drift else None) for s in (0, 1)
    )
    assert log_acceptance(old, new, law, 1.0, 0.5).abs().max() == 0


def test_moves_leave_their_law_as_it_is():
    """Draws of π, moved: the first two moments stay, within what 4000 of them tell; most moves are accepted."""
    problem = Posterior(width=0.6)
    mixture, law = problem.ahead(0), GaussianTransition(torch.zeros(4000, 2, dtype=EXACT), 1.0)
    variance, kept = problem.width**2 + problem.spreads[0], problem.kept[0]  # N(0, 1) N(m; kept x, variance)
    means, shrunk = problem.means * kept / (variance + kept**2), variance / (variance + kept**2)
    start = GaussianMixture(problem.weights, means, shrunk).sample(4000, generator=seeded("cpu", 0))
    generator = seeded("cpu", 1)

    def at(places):
        inner = points_at(kept * places, mixture, True)
        return Points(places, inner.log_twists, kept * inner.slopes)

    points, moved = at(start), 0.0
    for _ in range(5):
        places = proposed(points, law, 1.0, 0.7, randn((4000, 2), generator, torch.device("cpu"), EXACT))
        new = at(places)
        chosen = torch.rand(4000, generator=generator, dtype=EXACT).log() < log_acceptance(points, new, law, 1.0, 0.7)
        points, moved = new.where(chosen, points), moved + chosen.double().mean()
    assert 2.5 < moved < 5
    for before, after in ((start, points.places), (start**2, points.places**2)):
        gap, error = (after - before).mean(dim=0), before.var(dim=0).div(2000).sqrt()
        assert bool((gap.abs() < 4 * error).all())


# The whole sampler ---------------------------------------------------------------------------------------------------


def check_exact(problem, sampler, groups=GROUPS):
    """E[Z_hat] = Z, and E[Z_hat f] = Z E_p*[f] of f = x_T, within four standard errors."""
    samples = sampler.sample(groups, generator=seeded("cpu", 3))
    ratio = (samples.log_normalizer - problem.normalizer.log()).exp()
    moment = (samples.log_weights.exp()[..., None] * samples.states).sum(dim=1) * ratio[:, None]
    for found, exact in ((ratio[:, None], torch.ones(1)), (moment, problem.first_moment)):
        error = found.std(dim=0) / math.sqrt(groups)
        assert bool(((found.mean(dim=0) - exact).abs() < 4 * error).all())
        assert error.max() < 0.05
    return samples


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (CrankNicolson(), "posterior mean"),
        (CrankNicolson(drift="none", levels=[0.2, 1.0], step=[0.9, 0.4]), "posterior mean"),
        (CrankNicolson(levels=1, num_moves=0), "posterior mean"),
        (CrankNicolson(levels=2, num_moves=1, step=1.0, ess_threshold=1.0), "exact"),
        (CrankNicolson(levels=2, ess_threshold=0.0, resampling="multinomial"), "exact"),
        (CrankNicolson(levels=2), "random"),
    ],
)
def test_z_and_p_star_of_smc_are_exact_for_any_number_of_moves(start, kind):
    problem = Posterior(width=0.6)
    values = {"posterior mean": PosteriorMean(problem.target), "exact": problem.soft_value()}
    value = values.get(kind, PosteriorMean(problem.target, num_samples=2))
    check_exact(problem, sv.smc(problem.reference, problem.target, value, 8, start=start))


@pytest.mark.parametrize("candidates", [4, [4, 1, 1, 1]])
def test_z_and_p_star_of_svdd_are_exact(candidates):
    problem = Posterior(width=0.6)
    value, start = problem.soft_value(), CrankNicolson(levels=2)
    check_exact(problem, sv.svdd(problem.reference, problem.target, value, candidates, start=start), 8 * GROUPS)


def test_the_start_may_know_another_value_than_the_sampler():
    problem = Posterior(width=0.8)
    start = CrankNicolson(problem.soft_value(), levels=2, num_moves=1)
    check_exact(problem, sv.smc(problem.reference, problem.target, Zero(), 16, start=start))


def test_nested_and_tempered_groups_are_exact():
    problem = Posterior(width=0.6)
    options = dict(num_candidates=2, tempering=[0.5, 0.8, 1.0, 1.0], start=CrankNicolson(levels=2))
    check_exact(problem, sv.smc(problem.reference, problem.target, problem.soft_value(), 4, **options))


def test_more_starts_are_effective_at_equal_calls():
    """Eight dimensions, v_0 spread over nats: 16 particles and four levels of two moves, against 64 without."""
    problem = Posterior(8, distance=1.5, width=0.4, std=0.1)
    value, start = PosteriorMean(problem.target), CrankNicolson(step=0.3)
    found = {}
    for name, size, how in (("known", 16, start), ("plain", 64, None)):
        sampler = sv.smc(problem.reference, problem.target, value, size, start=how)
        samples = sampler.sample(200, generator=seeded("cpu", 4))
        error = (samples.log_normalizer - problem.normalizer.log()).square().mean().sqrt()
        found[name] = samples.cost.reference_calls, float(samples.history.ess[:, 0].mean()), float(error)
    assert found["known"][0] == found["plain"][0] == 200 * 16 * 12
    assert found["known"][1] > 3 * found["plain"][1]
    assert found["known"][2] < 1.2 * found["plain"][2]


# What it costs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("drift", "gradients"), [(None, 9), ("none", 0)])
def test_calls_are_counted(drift, gradients):
    """Of 5 groups of 4 in three steps: nine for each x_0 (four levels of two moves, after one), then one a step."""
    problem = Posterior()
    start = CrankNicolson(drift=drift)
    sampler = sv.smc(problem.reference, problem.target, PosteriorMean(problem.target), 4, start=start)
    cost = sampler.sample(5, generator=seeded("cpu", 0)).cost
    assert cost.reference_calls == 20 * (9 + 3)
    assert cost.value_calls == 20 * (9 + 2)  # v_0 is known
    assert cost.gradient_calls == 20 * gradients
    assert cost.reward_calls == 20 * (9 + 2 + 1)
    acceptance = sampler.parts.start.acceptance
    assert acceptance.shape == (4,) and bool((acceptance > 0).all() and (acceptance <= 1).all())


def test_a_value_without_a_gradient_is_moved_towards_by_noise_alone():
    problem = Posterior()
    for target in (
        sv.Target(lambda x: problem.density.log_prob(x.detach()), 1.0),
        sv.Target(lambda x: torch.from_numpy(problem.density.log_prob(x.detach()).numpy() + 0 * x[:, 0].numpy()), 1.0),
    ):
        value = PosteriorMean(target)
        samples = [
            sv.smc(problem.reference, target, value, 4, start=CrankNicolson(drift=drift)).sample(
                5, generator=seeded("cpu", 0)
            )
            for drift in (None, "none")
        ]
        assert torch.equal(samples[0].states, samples[1].states)
        assert samples[0].cost.gradient_calls == 0
        with pytest.raises((ValueError, RuntimeError), match="drift: expected 'none'|requires grad"):
            sv.smc(problem.reference, target, value, 4, start=CrankNicolson(drift="gradient")).sample(2)


def test_pieces_of_a_batch_give_the_same_samples():
    problem = Posterior()
    sampler = sv.smc(problem.reference, problem.target, PosteriorMean(problem.target), 4, start=CrankNicolson())
    whole, cut = (sampler.sample(5, generator=seeded("cpu", 0), max_batch=most) for most in (None, 3))
    torch.testing.assert_close(whole.states, cut.states)
    torch.testing.assert_close(whole.log_normalizer, cut.log_normalizer)
    assert whole.cost.reference_calls == cut.cost.reference_calls


def test_a_learned_value_needs_no_reference_call():
    problem = Posterior()
    network = torch.nn.Sequential(
        torch.nn.Linear(2, 8, dtype=EXACT), torch.nn.Tanh(), torch.nn.Linear(8, 1, dtype=EXACT)
    )

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x, t):
            return self.network(x)[:, 0].sin()

    value = Learned(Network()).requires_grad_(False)
    cost = sv.svdd(problem.reference, problem.target, value, 4, start=CrankNicolson()).sample(3).cost
    assert cost.reference_calls == 3 * 3 and cost.gradient_calls == 3 * 4 * 9


# States and references -----------------------------------------------------------------------------------------------


class Pairs(Reference):
    """Two leaves, of different spread, and a condition c that x_T has beside them."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        law = FieldTransition(
            {
                "a": GaussianTransition(torch.zeros(batch_size, 2, dtype=EXACT), 1.0),
                "b": GaussianTransition(torch.ones(batch_size, dtype=EXACT), 0.5),
            }
        )
        x = law.sample(generator=generator)
        return x.set("c", condition)

    def initial_law(self, x):
        laws = {"a": GaussianTransition(torch.zeros_like(x["a"]), 1.0)}
        return FieldTransition(laws | {"b": GaussianTransition(torch.ones_like(x["b"]), 0.5)}, x)

    def forward(self, x, t, previous=None):
        laws = {"a": GaussianTransition(0.9 * x["a"], 0.1), "b": GaussianTransition(x["b"], 0.1)}
        return Prediction(FieldTransition(laws, x), clean=x)


def test_leaves_of_a_state_move_together_and_conditions_stay():
    """r = -(|a|² + (b - c)²)/2: Z given c = Π of Gaussian integrals, v = 0.9^4 + ... the variances of x_T."""
    reference = Pairs()
    target = sv.Target(lambda x: -0.5 * (x["a"].square().sum(1) + (x["b"] - x["c"]).square()), 1.0)
    condition = torch.tensor([0.0, 2.0], dtype=EXACT).repeat_interleave(1000)
    sampler = sv.smc(reference, target, PosteriorMean(target), 4, start=CrankNicolson(levels=2, num_moves=1))
    samples = sampler.sample(2000, condition=condition, generator=seeded("cpu", 0))
    assert isinstance(samples.states, TensorDict)
    assert torch.equal(samples.states["c"], condition[:, None].expand(2000, 4))
    a, b = (0.81 + 0.01) * 0.81 + 0.01, 0.25 + 0.02
    exact = 1 / ((1 + a) * math.sqrt(1 + b)) * torch.exp(-((1 - condition) ** 2) / 2 / (1 + b))
    ratio = samples.log_normalizer.exp() / exact
    for part in ratio.split(1000):
        assert (part.mean() - 1).abs() < 4 * part.std() / math.sqrt(1000) < 0.1


def linear(covariance=0.5):
    reward = QuadraticReward(torch.eye(2, dtype=EXACT), torch.ones(2))
    law = torch.eye(2, dtype=EXACT).expand(2, 2, 2), torch.zeros(2, 2), torch.full((2, 2), 0.2)
    return LinearGaussianChain(torch.tensor([1.0, -1.0]), covariance, *law, reward)


def mixture(first):
    bars = torch.tensor([first, 0.5, 1.0])
    law = GaussianMixture(torch.ones(2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0.3)
    return GaussianMixtureDiffusion(law, bars, QuadraticReward(torch.eye(2), torch.zeros(2)))


@pytest.mark.parametrize(
    "reference",
    [linear(), mixture(0.0), GaussianMixtureDDPM(mixture(0.0)), Posterior().reference],
    ids=["linear", "mixture", "ddpm", "gaussian"],
)
def test_references_say_the_law_that_they_draw_from(reference):
    x = reference.initial(4000, generator=seeded("cpu", 0))
    law = reference.initial_law(x)
    z = (x - law.mean) / law.std
    assert bool((z.mean(dim=0).abs() < 4 / math.sqrt(4000)).all())
    assert bool((z.square().mean(dim=0) - 1).abs().max() < 4 * math.sqrt(2 / 4000))


def test_z_of_a_linear_gaussian_chain_is_exact():
    chain = linear()
    sampler = sv.smc(chain, chain.target(1.0), chain.soft_value(1.0), 4, start=CrankNicolson(levels=2))
    ratio = (sampler.sample(2000, generator=seeded("cpu", 0)).log_normalizer - chain.log_normalizer(1.0)).exp()
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / math.sqrt(2000) < 0.1


class Pull(torch.nn.Module):
    def forward(self, x, t):
        return -x


def test_a_policy_starts_where_its_reference_does():
    problem = Posterior()
    policy = Controlled(problem.reference, Pull())
    sampler = sv.smc(policy, problem.target, PosteriorMean(problem.target), 4, start=CrankNicolson())
    assert torch.equal(policy.initial_law(torch.ones(3, 2)).mean, torch.zeros(3, 2))
    assert sampler.sample(2).states.shape == (2, 4, 2)


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(levels=0), "levels: expected an integer of at least 1, got 0"),
        (dict(levels=[0.5, 0.4, 1.0]), r"levels: expected numbers above 0 that rise to 1, got \[0.5, 0.4, 1.0\]"),
        (dict(levels=[0.5]), "levels: expected numbers above 0 that rise to 1"),
        (dict(num_moves=-1), "num_moves: expected an integer of at least 0, got -1"),
        (dict(step=0.0), "step: expected a finite number .* got 0.0"),
        (dict(step=1.5), "step: expected a finite number .* got 1.5"),
        (dict(step=[0.5]), "step: expected a number or one for each of 4 levels, got 1"),
        (dict(drift="guided"), "drift: expected None or one of gradient, none, got 'guided'"),
        (dict(resampling="best"), "resampling: expected one of multinomial"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        CrankNicolson(**options)


def test_who_cannot_serve_is_refused():
    problem, chain = Posterior(), FiniteMarkovChain.random(num_states=3, num_steps=2, seed=0)
    value, random = PosteriorMean(problem.target), PosteriorMean(problem.target, num_samples=2)
    with pytest.raises(TypeError, match="value: expected None or a Value, got int"):
        CrankNicolson(3)
    with pytest.raises(TypeError, match="start: expected a Start, got str"):
        sv.smc(problem.reference, problem.target, value, 4, start="known")
    with pytest.raises(TypeError, match="says its p_0, got FiniteMarkovChain without initial_law"):
        sv.smc(chain, chain.target(1.0), Zero(), 4, start=CrankNicolson())
    with pytest.raises(ValueError, match="alpha: starts.CrankNicolson needs a target with alpha > 0"):
        sv.svdd(problem.reference, sv.Target(problem.target.reward, 0.0), value, 4, start=CrankNicolson())
    with pytest.raises(ValueError, match="drift: expected None or 'none' for PosteriorMean, which is random"):
        sv.smc(problem.reference, problem.target, random, 4, start=CrankNicolson(drift="gradient"))
    diffusion = mixture(0.3)
    with pytest.raises(ValueError, match="alpha_bars: expected ā_0 = 0 for a Gaussian p_0, got 0.3"):
        GaussianMixtureDDPM(diffusion).initial_law(torch.zeros(2, 2))
    with pytest.raises(TypeError, match="says its p_0, got GaussianMixtureDDPM without initial_law"):
        sv.smc(GaussianMixtureDDPM(diffusion), diffusion.target(1.0), Zero(), 4, start=CrankNicolson())
    with pytest.raises(ValueError, match="initial_covariance: expected a diagonal one"):
        linear(torch.tensor([[1.0, 0.5], [0.5, 1.0]])).initial_law(torch.zeros(2, 2))
    sampler = sv.smc(problem.reference, problem.target, value, 4, start=CrankNicolson())
    with pytest.raises(ValueError, match="start: expected None to follow a given trajectory"):
        sampler.sample_conditionally(torch.zeros(2, 4, 2, dtype=EXACT))
    assert sampler.resume(torch.zeros(2, 2, dtype=EXACT), 1).states.shape == (2, 4, 2)
