"""Guided proposals: what they tilt by, and what they cost."""

import math

import pytest
import torch
from guided_toys import ALPHA, Bent, Curved, bowl, generator
from inference_toys import MARKOV, make_value
from tensordict import TensorDict
from torch import nn

from svlearn.domains.analytic import LinearGaussianChain
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.metering import metered
from svlearn.process import Prediction, Reference
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, PosteriorMean, Zero


def transition(proposal, x, t, target=Target(bowl, ALPHA)):  # noqa: B008 - frozen
    process = Bent()
    bound = proposal.bind(process, target)
    return bound.transition(x, t, bound.predict(process, x, t, None))


def test_at_the_mean_the_shift_is_the_variance_times_the_gradient_there():
    x = Bent().initial(5, generator=generator())
    mean = (x + 0.1 * x.sin()).requires_grad_()
    gradient = torch.autograd.grad(Curved()(mean, torch.full((5,), 2)).sum(), mean)[0]
    law = transition(Guided(Learned(Curved()), scale=[9.0, 0.8, 9.0]), x, 1)
    torch.testing.assert_close(law.mean, mean.detach() + 0.09 * 0.8 * gradient / ALPHA)


def test_at_the_last_step_it_is_the_gradient_of_the_reward():
    x = Bent().initial(5, generator=generator())
    mean = x + 0.1 * x.sin()
    law = transition(Guided(Learned(Curved()), scale=0.8), x, 2)
    torch.testing.assert_close(law.mean, mean - 0.09 * 0.8 * 2 * (mean - 0.7) / ALPHA)


def test_a_reward_without_gradient_leaves_the_last_step_alone():
    x = Bent().initial(5, generator=generator())
    for reward in (lambda x: torch.from_numpy(x.numpy()).sum(dim=1), lambda x: (x[:, 0] > 0).double()):
        law = transition(Guided(Learned(Curved())), x, 2, Target(reward, ALPHA))
        torch.testing.assert_close(law.mean, x + 0.1 * x.sin())


@pytest.mark.parametrize("out_of", [torch.OutOfMemoryError, RuntimeError, BufferError])
def test_an_error_of_the_reward_at_the_last_step_is_raised(out_of):
    """Only what torch says of states that require a gradient means that there is none."""
    flags = []

    def reward(x):
        flags.append(x.requires_grad)
        if x.requires_grad:
            raise out_of("CUDA out of memory. Tried to allocate 2.00 GiB")
        return bowl(x)

    for sampler in (guidance(Bent(), Target(reward, ALPHA), Learned(Curved())), smc_guided(reward)):
        with pytest.raises(out_of, match="Tried to allocate"):
            sampler.sample(3, generator=generator())
    assert flags == [True, True]


def smc_guided(reward, clip=None):
    return smc(Bent(), Target(reward, ALPHA), Learned(Curved()), 4, proposal=Guided(Learned(Curved()), clip=clip))


def test_an_error_of_a_reward_that_had_a_gradient_before_is_raised():
    fails = []

    def reward(x):
        return torch.from_numpy(x.numpy()).sum(dim=1) if fails and x.requires_grad else bowl(x)

    sampler = smc_guided(reward)
    sampler.sample(2, generator=generator())
    fails.append(True)
    with pytest.raises(RuntimeError, match="requires grad"):
        sampler.sample(2, generator=generator())


@pytest.mark.parametrize("max_batch", [None, 3])
def test_whether_the_reward_has_a_gradient_is_asked_once_a_sampler(max_batch):
    flags = []

    def reward(x):
        flags.append(x.requires_grad)
        return torch.from_numpy(x.detach().numpy().copy()).sum(dim=1)

    sampler = smc_guided(reward)
    for _ in range(3):
        sampler.sample(2, generator=generator(), max_batch=max_batch)
    pieces = 1 if max_batch is None else 3  # of the eight particles of two groups
    assert flags == [True] * pieces + [False] * 3 * pieces


def test_a_reward_may_be_constant_on_some_states_and_may_write_to_what_it_is_given():
    """A batch, or a piece of one, on which it is constant has gradient 0 there; work in place is its own matter."""

    def reward(x):
        x.clamp_(-1.0, 1.0)
        return bowl(x) if bool((x[:, 0] > 0).any()) else torch.zeros(len(x)).double()

    x = torch.tensor([[-2.0, 0.3], [-0.5, 0.1], [0.4, 0.2], [3.0, -0.2]]).double()
    proposal, process, target = Guided(Learned(Curved())), Bent(), Target(reward, ALPHA)
    with metered(2):
        bound = proposal.bind(process, target)
        shifts = bound.transition(x, 2, bound.predict(process, x, 2, None)).mean - (x + 0.1 * x.sin())
        assert torch.equal(shifts[:2], torch.zeros(2, 2).double())
        mean = (x + 0.1 * x.sin())[2:]
        inside = mean.abs() < 1
        torch.testing.assert_close(shifts[2:], torch.where(inside, -0.09 * 2 * (mean - 0.7) / ALPHA, 0.0))


def test_at_the_state_the_gradient_passes_through_the_reference():
    x = Bent().initial(5, generator=generator())
    law = transition(Guided(PosteriorMean(Target(bowl, ALPHA)), scale=0.5), x, 1)
    gradient = -2 * (x**2 + 1 - 0.7) * 2 * x  # of r(x̂_T(x)), x̂_T = x² + t
    torch.testing.assert_close(law.mean, x + 0.1 * x.sin() + 0.09 * 0.5 * gradient / ALPHA)


def test_a_clip_bounds_the_norm_of_the_tilt():
    x = Bent().initial(200, generator=generator())
    free, clipped = (transition(Guided(Learned(Curved()), clip=clip), x, 0).mean for clip in (None, 1.5))
    tilts, bounded = ((mean - x - 0.1 * x.sin()) / 0.09 for mean in (free, clipped))
    norm = tilts.norm(dim=1, keepdim=True)
    assert (norm > 1.5).any() and (norm < 1.5).any()
    torch.testing.assert_close(bounded, tilts * (1.5 / norm).clamp(max=1))


def test_guidance_costs_one_call_and_one_gradient_a_step():
    target = Target(bowl, ALPHA)
    through = guidance(Bent(), target, PosteriorMean(target)).sample(4, generator=generator()).cost
    assert (through.reference_calls, through.gradient_calls) == (12, 12)
    ahead = guidance(Bent(), target, Learned(Curved())).sample(4, generator=generator()).cost
    assert (ahead.reference_calls, ahead.gradient_calls, ahead.value_calls) == (12, 12, 8)


@pytest.mark.parametrize("make", [smc, svdd])
def test_a_posterior_mean_guides_and_weighs_in_the_same_call(make):
    target = Target(bowl, ALPHA)
    value = PosteriorMean(target)
    cost = make(Bent(), target, value, 5, proposal=Guided(value)).sample(4, generator=generator()).cost
    # svdd looks again at the one that it kept of five: a gradient for each loser would cost more
    kept, scored = (0, 5) if make is smc else (1, 5)
    assert cost.reference_calls == 4 * 3 * (scored + kept)
    assert cost.gradient_calls == 4 * 3 * (5 if make is smc else 1)


@pytest.mark.parametrize("at", ["mean", "state"])
def test_cutting_the_batch_changes_nothing(at):
    target = Target(bowl, ALPHA)
    sampler = smc(Bent(), target, PosteriorMean(target), 4, proposal=Guided(PosteriorMean(target), at=at))
    whole, cut = (sampler.sample(6, generator=generator(3), max_batch=size) for size in (None, 5))
    torch.testing.assert_close(cut.states, whole.states)
    assert cut.cost.gradient_calls == whole.cost.gradient_calls


def test_with_the_exact_value_the_exact_proposal_leaves_only_the_start_to_weigh():
    value = MARKOV.soft_value(ALPHA)
    sampler = smc(MARKOV, MARKOV.target(ALPHA), value, 16, ess_threshold=0.0, proposal=Exact(value))
    samples = sampler.sample(50, generator=generator(), keep_states=True)
    start = samples.paths()[:, :, 0, 0]
    expected = MARKOV.soft_table(ALPHA)[0][start] / ALPHA
    torch.testing.assert_close(samples.log_weights, expected.log_softmax(dim=1))
    assert expected.std() > 0.1


def test_where_the_value_is_linear_in_the_one_hot_guidance_is_exact():
    value = make_value("wrong", MARKOV, ALPHA)
    first, second = (
        smc(MARKOV, MARKOV.target(ALPHA), value, 8, proposal=proposal(value)).sample(40, generator=generator())
        for proposal in (Exact, Guided)
    )
    assert torch.equal(first.states, second.states)
    torch.testing.assert_close(first.log_weights, second.log_weights)


def test_guidance_raises_the_ess_of_importance_sampling_more_than_fourfold():
    chain = LinearGaussianChain.random(2, 5, seed=0)
    value = chain.soft_value(ALPHA)
    parts = chain, chain.target(ALPHA), value, 500
    plain, guided = (
        smc(*parts, ess_threshold=0.0, proposal=proposal).sample(60, generator=generator()).history.ess[:, -1].mean()
        for proposal in (None, Guided(value))
    )
    assert guided > 4 * plain


def test_states_of_several_parts_are_guided_in_all_that_are_floats():
    class Pairs(Reference):
        num_steps = 2

        def initial(self, batch_size, *, condition=None, generator=None):
            parts = {name: torch.randn(batch_size, 2, generator=generator) for name in ("near", "far")}
            return TensorDict({**parts, "kind": torch.arange(batch_size)}, batch_size=[batch_size])

        def forward(self, x, t, previous=None):
            return Prediction(Both(x))

    class Both(GaussianTransition):
        def __init__(self, x):
            self.x = x

        def expansion_point(self, x):
            return x

        def tilt(self, gradient):
            moved = {name: self.x[name] + step for name, step in gradient.items()}
            return Both(TensorDict({**self.x, **moved}, self.x.batch_size))

    class Sum(nn.Module):
        def forward(self, x, t):
            return (x["near"] + 2 * x["far"]).sum(dim=1) * (1 + x["kind"])

    x = Pairs().initial(3, generator=generator())
    bound = Guided(Learned(Sum()), scale=ALPHA, clip=10.0).bind(Pairs(), Target(lambda x: x["near"][:, 0], ALPHA))
    law = bound.transition(x, 0, bound.predict(Pairs(), x, 0, None))
    shrink = (10 / (10**0.5 * torch.arange(1.0, 4))).clamp(max=1)
    for name, slope in (("near", 1.0), ("far", 2.0)):
        expected = (slope * torch.arange(1.0, 4) * shrink)[:, None].expand(3, 2)
        torch.testing.assert_close(law.x[name] - x[name], expected)


def test_an_exact_step_towards_nothing_alive_is_the_reference_s():
    hopeless = MARKOV.with_rewards(torch.tensor([0.0, -math.inf, -math.inf, -math.inf, -math.inf]))
    blocked = torch.eye(5).double()[None].expand(5, 5, 5).clone()
    chain = type(MARKOV)(MARKOV.initial_probs, blocked, hopeless.reward.table)
    samples = smc(chain, chain.target(1.0), Zero(), 8, proposal=Exact(Zero())).sample(30, generator=generator())
    assert (samples.states[samples.log_weights > -math.inf] == 0).all()
    assert (samples.log_normalizer == -math.inf).sum() < 30
