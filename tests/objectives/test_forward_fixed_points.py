"""What the losses on the forward process end at: minimisers at given x_t, by quadrature, against closed forms of the
Gaussian mixture, and expected gradients at the exact answer, in float64."""

import math

import numpy as np
import pytest
import torch
from forward_toys import ALPHA, MixtureDenoiser, T, denoiser, law, oracle, reward
from tensordict import TensorDict

from svlearn.domains.analytic.quadratic import QuadraticReward
from svlearn.objectives import ForwardProcessPolicy
from svlearn.objectives.fit import fit
from svlearn.objectives.forward_losses import pulled_loss
from svlearn.policies import Finetuned
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition

NODES = 60
EXACT = {"reward-weighted": dict(variant="reward_weighted"), "tilted": dict(variant="nft", optimality="tilted")}


def target():
    return Target(reward(), ALPHA)


def objective_of(options, policy=None, **more):
    reference = denoiser()
    policy = Finetuned(reference) if policy is None else policy
    return ForwardProcessPolicy(reference, target(), policy, **options, num_times=None, **more)


def grid(t):
    x = torch.linspace(-2.5, 2.5, 7, dtype=torch.float64)[:, None]
    return x, torch.full((7,), t)


def finished_given(x, t):
    """Nodes of x_T (n, N) given each x_t, and their weights under p_ref(x_T | x_t)."""
    posterior = oracle()(x, t).clean_law
    nodes, masses = (torch.as_tensor(part) for part in np.polynomial.hermite_e.hermegauss(NODES))
    x_T = posterior.means + posterior.stds * nodes
    weights = posterior.log_weights.exp()[:, :, None] * masses / math.sqrt(2 * math.pi)
    return x_T.flatten(1), weights.flatten(1)


def minimiser(loss):
    """Of a loss that is a sum of parabolas in the entries of (n, 1): one Newton step, from anywhere."""
    u = torch.full((7, 1), 0.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(u), u, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), u)
    assert (curvature > 0).all()
    return (u - slope / curvature).detach()


def predicted(clean):
    return Prediction(GaussianTransition(clean, 1.0), clean=clean)


def expected_loss(x, t, worth, slow):
    """u -> Σ_x E[pulled loss | x_t = x], with pulls and totals of x_T by `worth`, by the reference's own loss."""
    reference, (x_T, weights) = denoiser(), finished_given(x, t)
    rows, number = torch.arange(7).repeat_interleave(x_T.shape[1]), x_T.flatten()[:, None]
    pulls, totals = worth(number)

    def loss(u):
        own, moments = predicted(u[rows]), t[rows]
        losses = reference.denoising_loss(number, x[rows], moments, own)
        slow_losses = reference.denoising_loss(predicted(slow[rows]), x[rows], moments, own)
        return (weights.flatten() * pulled_loss(losses, slow_losses, pulls, totals)).sum()

    return loss


@pytest.mark.parametrize("t", [1, 3, T - 1])
@pytest.mark.parametrize("name", EXACT)
def test_the_minimiser_is_the_denoiser_of_the_tilted_mixture(name, t):
    (x, moments), objective = grid(t), objective_of(EXACT[name])
    slow = oracle()(x, moments).clean

    def worth(x_T):
        objective.eval().log_scale.fill_(0.3)  # whatever the scale is
        return objective.pulls(reward()(x_T))

    found = minimiser(expected_loss(x, moments, worth, slow))
    wanted = oracle(oracle().optimal_law(ALPHA))(x, moments).clean
    assert (wanted - slow).abs().max() > 0.02
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


OPTIMAL = QuadraticReward(torch.tensor([[0.7]]), torch.tensor([0.7]), -0.35)  # log o, 0 at its highest


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_one_round_of_nft_ends_at_the_closed_form_of_the_paper(beta):
    """v_old + (2/β) Δ, Δ = E[o | x_t] (v⁺ - v_old): E[o | x_t] by the soft value, v⁺ by the tilted mixture."""
    x, t = grid(2)
    diffusion = oracle(tilt=OPTIMAL)
    slow, share = diffusion(x, t).clean, diffusion.soft_value(1.0)(x, t).exp()
    better = oracle(diffusion.optimal_law(1.0))(x, t).clean
    wanted = slow + 2 / beta * share[:, None] * (better - slow)

    def worth(x_T):
        o = OPTIMAL(x_T).exp()
        assert o.min() >= 0 and o.max() <= 1
        return (2 * o - 1) / beta, torch.ones_like(o)

    torch.testing.assert_close(minimiser(expected_loss(x, t, worth, slow)), wanted, rtol=1e-9, atol=1e-9)


def test_the_pulled_loss_is_that_of_the_two_branches():
    """β² times it and o |m⁺ - x_T|² + (1 - o) |m⁻ - x_T|² have the same gradient, sample by sample."""
    drawn = torch.randn(5, 3, generator=seeded("cpu", 0), dtype=torch.float64)
    x_T, slow, own, beta = *drawn[:, :3].T, 0.7
    o = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    own = own.clone().requires_grad_()
    positive, negative = (slow + sign * beta * (own - slow) for sign in (1, -1))
    branches = o * (positive - x_T) ** 2 + (1 - o) * (negative - x_T) ** 2
    pulled = pulled_loss((own - x_T) ** 2, (own - slow) ** 2, (2 * o - 1) / beta, torch.ones(5))
    wanted, found = (torch.autograd.grad(loss.sum(), own, retain_graph=True)[0] for loss in (branches, pulled))
    torch.testing.assert_close(beta**2 * found, wanted)


def samples(mixture, number, seed):
    """Trajectories of which only x_T is told."""
    x_T = mixture.sample(number, generator=seeded("cpu", 1, seed))
    states = torch.full((number, T + 1, 1), math.nan, dtype=torch.float64)
    states[:, -1] = x_T
    return TensorDict({"states": states, "rewards": reward()(x_T)}, batch_size=[number])


def deviations(objective, mixture):
    """By parameter, how many standard errors the expected gradient is away from 0."""
    objective.eval()  # so that it logs nothing
    slopes = []
    for seed in range(40):
        objective.zero_grad()
        objective.loss(samples(mixture, 250, seed), seeded("cpu", seed)).backward()
        slopes.append(torch.cat([each.grad.flatten() for each in objective.policy.trained()]))
    drawn = torch.stack(slopes)
    return drawn.mean(dim=0) / (drawn.std(dim=0) / math.sqrt(len(drawn)))


def put(policy, mixture):
    policy.copy.load_state_dict(MixtureDenoiser(mixture).state_dict())


@pytest.mark.parametrize("name", EXACT)
def test_the_expected_gradient_is_zero_at_the_denoiser_of_p_star(name):
    objective = objective_of(EXACT[name])
    objective.log_scale.fill_(float(oracle().log_normalizer(ALPHA)))
    assert deviations(objective, law()).abs().max() > 10  # at that of p_ref
    put(objective.policy, oracle().optimal_law(ALPHA))
    assert deviations(objective, law()).abs().max() < 4


@pytest.mark.parametrize("name", EXACT)
def test_the_last_of_two_rounds_ends_there_too(name):
    """Its samples are of p_ref exp(r/(2 α)), where the first one has ended, and its weights exp(r/(2 α))."""
    objective = objective_of(EXACT[name], num_rounds=2, steps_per_round=3)
    half = oracle().optimal_law(2 * ALPHA)
    put(objective.policy, half)
    for step in range(3):
        assert objective.source is objective.reference, step
        objective.advance()
    assert objective.source is objective.slow
    torch.testing.assert_close(objective.slow.copy.means.data, half.means[:, 0])
    objective.log_scale.fill_(float(oracle(half).log_normalizer(2 * ALPHA)))
    assert deviations(objective, half).abs().max() > 4
    put(objective.policy, oracle().optimal_law(ALPHA))
    assert deviations(objective, half).abs().max() < 4


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_it_learns_the_denoiser_of_p_star(name):
    objective = objective_of(EXACT[name], learning_rate=2e-2, batch_size=256)
    objective.train_dataloader = lambda: [samples(law(), 256, seed) for seed in range(100)]
    fit(objective, max_steps=100, enable_progress_bar=False)
    best = oracle(oracle().optimal_law(ALPHA))
    for t in (1, 3):
        x, moments = grid(t)
        before, after, wanted = (process(x, moments).clean for process in (denoiser(), objective.policy, best))
        assert (after - wanted).abs().mean() < 0.2 * (before - wanted).abs().mean(), t


def test_tilted_pulls_have_less_noise_where_rewards_are_nearly_alike():
    """The gradient at the reference, of a reward with a tenth of the slope: a baseline takes the noise of x_T away."""
    spread = {}
    for name, options in EXACT.items():
        objective = ForwardProcessPolicy(
            denoiser(), Target(reward(0.06, 0.04), ALPHA), Finetuned(denoiser()), num_times=None, **options
        )
        objective.eval().log_scale.fill_(0.0)
        slopes = []
        for seed in range(20):
            objective.zero_grad()
            batch = samples(law(), 100, seed)
            batch["rewards"] = batch["rewards"] / 10
            objective.loss(batch, seeded("cpu", seed)).backward()
            slopes.append(objective.policy.copy.means.grad.clone())
        spread[name] = torch.stack(slopes).std(dim=0)
    assert (spread["tilted"] < 0.3 * spread["reward-weighted"]).all()
