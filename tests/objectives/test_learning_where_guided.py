"""Values learned at the states that a sampler leads to: still those of the reference, and better where it goes."""

import math

import pytest
import torch
from torch import nn
from value_toys import Table, gaussian, law_as_batch, markov, tiny

import svlearn as sv
from svlearn.domains.analytic import GaussianMixtureDiffusion
from svlearn.metering import metered
from svlearn.objectives import ContrastiveTwist, MonteCarloRegression, SoftQIteration, TemporalDifference
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import InMemoryData, roll_on
from svlearn.values import Learned

ALPHA = 0.5
FAMILIES = (MonteCarloRegression, SoftQIteration, TemporalDifference)


def gradient(objective, batch):
    objective.value.network.table.grad = None
    objective.loss(batch, seeded("cpu", 0)).backward()
    return objective.value.network.table.grad.clone()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("estimand", ["mean", "soft"])
def test_no_state_before_is_looked_at_and_the_exact_value_stays_a_fixed_point(family, estimand):
    chain = tiny()
    batch, start = law_as_batch(chain), torch.ones(64, dtype=torch.long)
    exact = (chain.mean_table() if estimand == "mean" else chain.soft_table(ALPHA))[:2]
    objective = family(chain, chain.target(ALPHA), Learned(Table(3, 2)), estimand)
    assert gradient(objective, batch.clone().set("since", start))[0].tolist() == [0.0] * 3
    objective.value.network.table.data.copy_(exact)
    if family is not MonteCarloRegression:
        objective.slow.network.table.copy_(exact)
    slope = gradient(objective, batch.set("since", start))
    torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)


def test_half_of_the_looks_are_there_and_the_others_uniform_from_there_on():
    oracle, network = markov()
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), num_times=4)
    since = torch.tensor([0, 3, 5]).repeat_interleave(3000)
    t = objective.times(9000, torch.device("cpu"), seeded("cpu", 0), since).view(3, -1)
    for row, first in zip(t, (0, 3, 5), strict=True):
        shares = row.bincount(minlength=6).double() / 12000
        expected = torch.where(torch.arange(6) >= first, 0.5 / (6 - first), 0.0)
        expected[first] += 0.5
        assert (shares - expected).abs().max() < 4 * math.sqrt(0.25 / 12000)


@pytest.mark.parametrize("family", FAMILIES)
def test_fresh_trajectories_follow_the_value_that_is_trained_and_it_learns_the_references(family):
    oracle, network = markov()
    target = oracle.target(ALPHA)
    options = dict(num_candidates=2, learning_rate=3e-2, batch_size=256)
    objective = family(oracle, target, Learned(network), "mean", **options)
    with metered() as meter:
        fit(objective, max_steps=300, enable_progress_bar=False)
    assert 300 * 256 * (6 + 1) < meter.cost.reference_calls < 300 * 256 * (6 + 6)
    exact, law = oracle.mean_table()[:6], oracle.optimal(ALPHA).marginals()[:6]
    error = (law * (network.table.detach() - exact) ** 2).sum(dim=1).mean().sqrt()
    spread = (law * exact**2).sum(dim=1).mean().sqrt()
    assert error < 0.1 * spread


class Line(nn.Module):
    """One linear function for each time: too little for a quadratic."""

    def __init__(self, num_steps):
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(num_steps, 3, dtype=torch.float64))
        self.constants = nn.Parameter(torch.zeros(num_steps, dtype=torch.float64))

    def forward(self, x, t):
        return (self.slopes[t] * x).sum(dim=1) + self.constants[t]


def test_what_a_network_cannot_hold_everywhere_it_holds_where_the_sampler_is():
    """Two rounds: at the states of greedy svdd by the first value the second, learned there, errs less."""
    oracle, _ = gaussian()
    target, exact = oracle.target(0.0), oracle.mean_value()
    value = Learned(Line(8))
    options = dict(learning_rate=5e-2, batch_size=512)
    fit(MonteCarloRegression(oracle, target, value, **options), max_steps=200, enable_progress_bar=False)
    sampler = sv.svdd(oracle, target, value, 4)
    again = Learned(Line(8))
    rows = roll_on(sampler, 4000, generator=seeded("cpu", 0))
    objective = MonteCarloRegression(oracle, target, again, **options)
    fit(objective, max_steps=200, data=InMemoryData(rows, batch_size=512), enable_progress_bar=False)
    paths = sampler.sample(1000, generator=seeded("cpu", 1), keep_states=True).paths()[:, 0]
    x, t = paths[:, :8].flatten(0, 1), torch.arange(8).repeat(1000)
    errors = [(each(x, t) - exact(x, t)).square().mean().sqrt().item() for each in (value, again)]
    assert errors[1] < 0.7 * errors[0]


def test_what_is_refused():
    chain = tiny()
    target, value = chain.target(ALPHA), Learned(Table(3, 2))
    rows = law_as_batch(chain).set("since", torch.zeros(64, dtype=torch.long))
    with pytest.raises(ValueError, match="ContrastiveTwist learns from whole trajectories, got some that are the ref"):
        fit(ContrastiveTwist(chain, target, value), max_steps=1, data=InMemoryData(rows), enable_progress_bar=False)
    with pytest.raises(ValueError, match="num_candidates: expected None by ContrastiveTwist, got 3"):
        ContrastiveTwist(chain, target, value, num_candidates=3)
    with pytest.raises(ValueError, match="num_candidates: expected None beside a proposal, got 3"):
        MonteCarloRegression(chain, target, value, num_candidates=3, proposal=tiny())
    with pytest.raises(ValueError, match="num_candidates: expected an integer of at least 1, got 0"):
        MonteCarloRegression(chain, target, value, num_candidates=0)
    objective = MonteCarloRegression(chain, target, value)
    objective.noised = True
    with pytest.raises(ValueError, match="noised: expected False for trajectories that the reference draws since a t"):
        objective.loss(rows, seeded("cpu", 0))


def test_a_batch_that_dies_at_the_end_is_learned_from():
    """A constraint that no guided sample meets: what the sampler leads to counts, not what became of its own ends."""
    oracle, network = markov()
    target = sv.Target(lambda x: torch.full((len(x),), -math.inf, dtype=torch.float64), ALPHA)
    rows = roll_on(sv.svdd(oracle, target, Learned(network), 2), 8, generator=seeded("cpu", 0))
    assert rows["states"].shape == (8, 7, 1) and bool((rows["rewards"] == -math.inf).all())


def test_what_does_not_start_at_the_start_is_refused():
    mixture = GaussianMixtureDiffusion.rtb_toy(4)
    refined = sv.refine(sv.svdd(mixture, mixture.target(1.0), mixture.soft_value(1.0), 2), num_rounds=1, depth=2)
    with pytest.raises(TypeError, match="sampler: expected one that starts at x_0, got Refinement"):
        roll_on(refined, 4, generator=seeded("cpu", 0))


def test_a_step_makes_no_call_that_is_not_counted():
    """The guided trajectories, what follows them, and no other look at the reference."""
    oracle, network = markov()
    asked, forward = [], oracle.forward
    oracle.forward = lambda x, t: asked.append(len(x)) or forward(x, t)
    objective = MonteCarloRegression(oracle, oracle.target(ALPHA), Learned(network), num_candidates=2, batch_size=16)
    asked.clear()
    with metered() as meter:
        fit(objective, max_steps=3, enable_progress_bar=False)
    assert sum(asked) == meter.cost.reference_calls
