"""Guidance, search and greedy choice of sequences: exact where they are, unbiased where they weigh, by enumeration."""

import math

import pytest
import torch
from enumerated_toys import ALPHA, SCHEDULES, exact, reference, truth
from sequence_toys import LENGTH, SoftRewards, Table, all_states, index_of, rewards, toy
from torch import nn
from torch.nn import functional as F

from svlearn import policies
from svlearn.inference.proposals import Guided, Policy
from svlearn.inference.samplers import beam_search, best_of_n, smc, svdd
from svlearn.inference.tree_search import tree_search
from svlearn.process import predict
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean, Zero

TARGET = Target(SoftRewards(), ALPHA)


def another(process):
    """A policy some way from the reference."""
    policy = policies.Finetuned(process)
    table = policy.copy.network.table
    with torch.no_grad():
        table += 0.3 * torch.randn(table.shape, generator=seeded("cpu", 5), dtype=torch.float64)
    return policy


SAMPLERS = {
    "svdd, guided": lambda p, v: svdd(p, TARGET, v, 3, proposal=Guided(v)),
    "svdd, a policy's candidates": lambda p, v: svdd(p, TARGET, PosteriorMean(TARGET), 3, proposal=Policy(another(p))),
    "smc, a policy's particles": lambda p, v: smc(p, TARGET, v, 4, proposal=Policy(another(p))),
    "guided alone, weighed": lambda p, v: smc(p, TARGET, Zero(), 1, proposal=Guided(v)),
    "TDS": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 6, proposal=Guided(PosteriorMean(TARGET), at="mean")),
    "TDS, at the state": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 6, proposal=Guided(PosteriorMean(TARGET))),
    "a tree that knows no reward": lambda p, v: tree_search(p, TARGET, v, 12, widening_factor=1, widening_exponent=1),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_estimate_of_z_is_unbiased(name, schedule):
    sampler = SAMPLERS[name](reference(schedule), exact(schedule))
    estimates = sampler.sample(500, generator=seeded("cpu", 3)).log_normalizer
    ratios = (estimates - truth(schedule).log_normalizer).exp()
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(len(ratios))
    assert 0 < float(ratios.std()) < 1.5


class Independent(nn.Module):
    """The same logits (L, V) whatever the sequence is."""

    reads_time = False

    def __init__(self):
        super().__init__()
        logits = torch.randn(LENGTH, 3, generator=seeded("cpu", 1), dtype=torch.float64)
        self.register_buffer("logits", logits)

    def forward(self, x, moments):
        return self.logits.expand(len(x), -1, -1)


class Additive(nn.Module):
    """Σ of a number for each letter, and the mask, at each place: of tokens or one-hots, at any time."""

    reads_one_hot = True

    def __init__(self, worth):
        super().__init__()
        self.register_buffer("worth", worth)

    def forward(self, x, t=None):
        one_hot = x if x.is_floating_point() else F.one_hot(x, 4).double()
        return (one_hot * self.worth).sum(dim=(1, 2))


@pytest.mark.parametrize("at", ["mean", "state"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_guidance_is_exact_where_places_are_independent_and_rewards_add_up(schedule, at):
    """A masked place is worth α log E[exp(r/α)], so that v_t is linear in the one-hots: every path weighs Z."""
    network = Independent()
    process = toy(schedule, SCHEDULES[schedule], network)
    letters = torch.randn(LENGTH, 3, generator=seeded("cpu", 2), dtype=torch.float64)
    law = network.logits.log_softmax(dim=1)
    masked = ALPHA * (law + letters / ALPHA).logsumexp(dim=1)
    worth = Additive(torch.cat([letters, masked[:, None]], dim=1))
    target = Target(worth, ALPHA)
    value = Learned(worth)
    samples = smc(process, target, value, 1, proposal=Guided(value, at=at)).sample(20, generator=seeded("cpu", 4))
    assert torch.allclose(samples.log_normalizer, masked.sum().expand(20) / ALPHA)


def test_at_the_state_of_tokens_the_tilt_is_the_slope_of_the_posterior_mean():
    """By central differences of r(x̂_T) in the one-hot of x_t, where clean is linear between tokens and the mask."""
    process, value = reference("log_linear"), PosteriorMean(TARGET)
    x = torch.tensor([[3, 1, 3, 0], [3, 3, 3, 3], [0, 1, 3, 2]])
    bound = Guided(value, 0.7).bind(process, TARGET)
    prediction = bound.predict(process, x, 2, None)
    steered, plain = bound.transition(x, 2, prediction), predict(process, x, 2).transition
    one_hot, step = F.one_hot(x, 4).double(), 1e-5
    slopes = torch.zeros_like(one_hot)
    for place in range(LENGTH):
        for letter in range(4):
            ends = []
            for sign in (1, -1):
                point = one_hot.clone()
                point[:, place, letter] += sign * step
                ends.append(TARGET(predict(process, point, 2).clean))
            slopes[:, place, letter] = (ends[0] - ends[1]) / (2 * step)
    wanted = (plain.log_probs + 0.7 / ALPHA * slopes[..., :3]).log_softmax(dim=2)
    torch.testing.assert_close(steered.log_probs, wanted, rtol=0, atol=1e-8)
    assert (steered.log_probs - plain.log_probs).abs().max() > 0.1
    assert torch.equal(prediction.clean, predict(process, x, 2).clean)


def test_without_temperature_svdd_follows_the_mean_value():
    """So many candidates that every next state is among them."""
    process, known, greedy = reference(), truth("one_place"), Target(rewards, 0.0)
    value = Learned(Table(4, known.mean[:-1].clone())).requires_grad_(False)
    place = index_of(process.initial(1))
    for t in range(process.num_steps):
        reachable = known.logs[t, place] > -math.inf
        place = torch.where(reachable, known.mean[t + 1], -math.inf).argmax(dim=1)
    samples = svdd(process, greedy, value, 3000).sample(3, generator=seeded("cpu", 0))
    assert index_of(samples.states[:, 0]).tolist() == place.repeat(3).tolist()


def test_without_temperature_a_wide_beam_and_many_samples_reach_the_largest_reward():
    process, known, greedy = reference(), truth("one_place"), Target(rewards, 0.0)
    value = Learned(Table(4, known.mean[:-1].clone())).requires_grad_(False)
    largest = rewards(all_states(3)).max()
    beam = beam_search(process, greedy, value, 40, 30).sample(2, generator=seeded("cpu", 1))
    best = best_of_n(process, greedy, 3000).sample(2, generator=seeded("cpu", 2))
    for samples in (beam, best):
        x = samples.draw(generator=seeded("cpu", 3))
        assert torch.allclose(rewards(x), largest.expand(2))


@pytest.mark.parametrize("sampler", [smc, tree_search])
def test_what_needs_a_temperature_says_so(sampler):
    with pytest.raises(ValueError, match="alpha"):
        sampler(reference(), Target(rewards, 0.0), Zero(), 4)
