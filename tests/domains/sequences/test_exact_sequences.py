"""An alphabet of three and four places: every sampler and every objective against dynamic programming."""

import math

import pytest
import torch
from enumerated_toys import ALPHA, SCHEDULES, exact, reference, truth
from sequence_toys import Enumerated, Table, consistent, index_of, rewards, toy

from svlearn import policies
from svlearn.inference.proposals import Exact, Guided
from svlearn.inference.refinement import refine
from svlearn.inference.samplers import smc, svdd
from svlearn.inference.tempering import Adaptive
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    DistributionalPolicyGradient,
    MonteCarloRegression,
    PathConsistency,
    PolicyGradient,
    SoftQIteration,
)
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Learned, MonteCarlo, PosteriorMean, Zero

TARGET = Target(rewards, ALPHA)


def test_the_oracle_is_a_law():
    for schedule in SCHEDULES:
        known = truth(schedule)
        assert torch.allclose(known.logs.exp().sum(dim=2), torch.ones(1, dtype=torch.float64))
        finished = ~(known.states == 3).any(dim=1)
        assert float(known.reach[-1][finished].sum()) == pytest.approx(1)


SAMPLERS = {
    "svdd, zero": lambda p, v: svdd(p, TARGET, Zero(), 4),
    "svdd, posterior mean": lambda p, v: svdd(p, TARGET, PosteriorMean(TARGET), 4),
    "svdd, several ends": lambda p, v: svdd(p, TARGET, PosteriorMean(TARGET, 4), 4),
    "svdd, Monte Carlo": lambda p, v: svdd(p, TARGET, MonteCarlo(p, TARGET, 2), 3),
    "smc, zero": lambda p, v: smc(p, TARGET, Zero(), 6),
    "smc, posterior mean": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 6, 1.0),
    "smc, nested": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 3, num_candidates=3),
    "smc, tempered": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 6, tempering=Adaptive()),
    "smc, guided (TDS)": lambda p, v: smc(p, TARGET, v, 6, proposal=Guided(v, at="mean")),
    "smc, exact proposal": lambda p, v: smc(p, TARGET, PosteriorMean(TARGET), 4, proposal=Exact(PosteriorMean(TARGET))),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_estimate_of_z_is_unbiased(name, schedule):
    sampler = SAMPLERS[name](reference(schedule), exact(schedule))
    number = 200 if "exact" in name else 800
    found = sampler.sample(number, generator=seeded("cpu", 3)).log_normalizer
    ratios = (found - truth(schedule).log_normalizer).exp()
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(len(ratios))
    assert float(ratios.std()) < 3


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_exact_value_and_proposal_leave_nothing_to_weigh(schedule):
    value = exact(schedule)
    found = smc(reference(schedule), TARGET, value, 3, proposal=Exact(value)).sample(20, generator=seeded("cpu", 0))
    wanted = torch.full((20,), truth(schedule).log_normalizer, dtype=torch.float64)
    assert torch.allclose(found.log_normalizer, wanted)


def assert_law(x, law):
    """A χ² of 4.5 standard deviations at most, of the states that are expected five times."""
    expected = law * len(x)
    counts = index_of(x).bincount(minlength=len(law)).double()
    often = expected >= 5
    assert not bool(counts[law == 0].any())
    statistic = float(((counts - expected)[often].square() / expected[often]).sum())
    degrees = int(often.sum()) - 1
    assert statistic < degrees + 4.5 * math.sqrt(2 * degrees)


def test_samples_by_the_exact_value_have_the_law_p_star():
    value = exact("one_place")
    found = smc(reference(), TARGET, value, 1, proposal=Exact(value)).sample(4000, generator=seeded("cpu", 1))
    assert_law(found.states[:, 0], truth("one_place").optimum)


@pytest.mark.parametrize("keep", ["replace", "particle_gibbs"])
def test_refinement_keeps_p_star(keep):
    """p_ref of the conditionals of one law, one place a step, is the reversal of its noise: p* stays p* where the
    sampler draws p*(· | x_s), and by particle Gibbs for any value."""
    process = toy("one_place", network=consistent())
    known = Enumerated(process, ALPHA)
    value = Learned(Table(4, known.soft[:-1].clone())).requires_grad_(False)
    perfect = smc(process, TARGET, value, 1, proposal=Exact(value))
    sampler = perfect if keep == "replace" else smc(process, TARGET, Zero(), 4)
    found = refine(sampler, 1, 2, keep, start=perfect).sample(3000, generator=seeded("cpu", 2))
    assert_law(found.draw(generator=seeded("cpu", 3)), known.optimum)


VALUES = {
    "Monte Carlo": (lambda *parts, **rest: MonteCarloRegression(*parts, estimand="soft", **rest), "soft"),
    "Monte Carlo, mean": (lambda *parts, **rest: MonteCarloRegression(*parts, estimand="mean", **rest), "mean"),
    "soft Q": (lambda *parts, **rest: SoftQIteration(*parts, estimand="soft", **rest), "soft"),
    "soft Q, mean": (lambda *parts, **rest: SoftQIteration(*parts, estimand="mean", **rest), "mean"),
    "contrastive twist": (ContrastiveTwist, "up to a constant"),
    "contrastive energy": (ContrastiveEnergy, "up to a constant"),
    "path consistency": (lambda *parts, **rest: PathConsistency(*parts, variant="subtrajectory", **rest), "mean"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_every_objective_learns_the_value_of_dynamic_programming(name):
    objective, learns = VALUES[name]
    known, process = truth("one_place"), reference()
    value = Learned(Table(process.num_steps))
    fit(
        objective(process, TARGET, value, learning_rate=3e-2, batch_size=256), max_steps=1500, enable_progress_bar=False
    )
    wanted = known.mean if learns == "mean" else known.soft
    for t in range(1, process.num_steps):  # v_0 is one number
        law, goal, found = known.reach[t], wanted[t], value.network.table[t].detach()
        if learns == "up to a constant":
            found = found - law @ (found - goal)
        spread = law @ (goal - law @ goal).square()
        assert 1 - float(law @ (found - goal).square() / spread) > 0.99


POLICIES = {
    "trajectory balance": lambda p, q: PathConsistency(p, TARGET, Learned(Table(4)), q, learning_rate=1e-2),
    "policy gradient": lambda p, q: PolicyGradient(p, TARGET, q, learning_rate=1e-2),
    "distributional policy gradient": lambda p, q: DistributionalPolicyGradient(p, TARGET, q, learning_rate=3e-2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_reaches_p_star(name):
    process = reference()
    policy = policies.Finetuned(process)
    before, optimum = (known.reach[-1] for known in [truth("one_place")]), truth("one_place").optimum
    fit(POLICIES[name](process, policy), max_steps=700, enable_progress_bar=False)
    policy.requires_grad_(False)
    after = Enumerated(policy.copy, ALPHA).reach[-1]
    distance = [float((law - optimum).abs().sum()) / 2 for law in (*before, after)]
    assert distance[1] < 0.05 < 0.2 < distance[0]
