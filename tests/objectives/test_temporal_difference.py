"""TD(λ): its returns by hand, its ends, which are two other objectives, and its fixed point by enumeration."""

import math

import pytest
import torch
from proposal_toys import ALPHA, INF, objective_at, setting
from value_toys import Table, law_as_batch, markov, tiny

from svlearn.metering import metered
from svlearn.objectives import MonteCarloRegression, SoftQIteration, TemporalDifference
from svlearn.objectives.fit import fit
from svlearn.objectives.temporal_difference import mean_return, soft_return
from svlearn.randomness import seeded
from svlearn.values import Learned, PosteriorMean, Residual, Zero

TRACES = (0.0, 0.3, 0.9, 1.0)
CONSTRAINED = {"soft": (1.0, -INF, -0.5), "mean": (1.0, -2.0, -0.5)}


def gradient(objective, batch, seed=0):
    objective.value.network.table.grad = None
    objective.loss(batch, seeded("cpu", seed)).backward()
    return objective.value.network.table.grad.clone()


def random_tables():
    drawn = torch.randn(2, 2, 3, generator=seeded("cpu", 5), dtype=torch.float64)
    return drawn[0], drawn[1]


def at(chain, table, slow, estimand, trace, **options):
    objective = objective_at(TemporalDifference, chain, table, estimand, trace=trace, **options)
    objective.slow.network.table.copy_(slow)
    objective.reward_variance.fill_(1.0)
    return objective


def test_the_returns_by_hand():
    values, none = torch.tensor([[1.0, 2.0, -1.0]]), torch.zeros(1, 3)
    last, middle = -1.0, 0.75 * 2.0 + 0.25 * -1.0
    assert mean_return(values, none, 0.25)[1][0].tolist() == pytest.approx([0.75 * 1.0 + 0.25 * middle, middle, last])
    grown = [math.exp(each / 2) for each in (1.0, 2.0, -1.0)]
    middle = 0.75 * grown[1] + 0.25 * grown[2]
    expected = [2 * math.log(each) for each in (0.75 * grown[0] + 0.25 * middle, middle, grown[2])]
    assert soft_return(values, none, 2.0, 0.25)[0].tolist() == pytest.approx(expected)


def test_the_weighed_returns_by_hand():
    values, log_ratios = torch.tensor([[3.0, 5.0]]), torch.tensor([[2.0, 4.0]]).log()
    weight, goal = mean_return(values, log_ratios, 0.5)  # 2 (f - 3)²/2 + 8 (f - 5)²/2
    assert weight[0].tolist() == pytest.approx([5.0, 4.0]) and goal[0].tolist() == pytest.approx([4.6, 5.0])
    soft = soft_return(values, log_ratios, 1.0, 0.5)[0]
    assert soft[0].item() == pytest.approx(math.log(math.exp(3.0) + 4 * math.exp(5.0)))
    dead = mean_return(values, torch.tensor([[-INF, 0.0]]), 0.5)
    assert dead[0][0].tolist() == [0.0, 1.0] and dead[1][0].tolist() == [0.0, 5.0]
    assert soft_return(torch.tensor([[-INF, -INF]]), torch.zeros(1, 2), 1.0, 0.5)[0].tolist() == [-INF, -INF]


@pytest.mark.parametrize("estimand", ["soft", "mean"])
@pytest.mark.parametrize(("trace", "family"), [(0.0, SoftQIteration), (1.0, MonteCarloRegression)])
def test_its_ends_have_the_gradients_of_the_two_objectives_between_which_it_is(trace, family, estimand):
    chain, batch, _, table = setting(CONSTRAINED[estimand])
    for rows in (batch, batch.exclude("log_ratios")):
        other = objective_at(family, chain, table, estimand)
        other.reward_variance.fill_(1.0)
        if family is SoftQIteration:
            other.slow.network.table.copy_(table.flip(0))
        expected = gradient(other, rows)
        assert expected.abs().max() > 0.01
        torch.testing.assert_close(gradient(at(chain, table, table.flip(0), estimand, trace), rows), expected)


@pytest.mark.parametrize("estimand", ["soft", "mean"])
@pytest.mark.parametrize("trace", TRACES)
def test_the_exact_value_is_the_fixed_point_whoever_drew(trace, estimand):
    chain, batch, _, table = setting(CONSTRAINED[estimand])
    exact = (chain.soft_table(ALPHA) if estimand == "soft" else chain.mean_table())[:2]
    for rows in (batch, law_as_batch(chain)):
        slope = gradient(at(chain, exact, exact, estimand, trace), rows)
        torch.testing.assert_close(slope, torch.zeros(2, 3).double(), atol=1e-14, rtol=0)
        assert gradient(at(chain, exact, table, estimand, trace), rows).abs().max() > 1e-3 or trace == 1.0


@pytest.mark.parametrize("trace", TRACES)
def test_an_error_ahead_is_passed_on_by_its_part_alone(trace):
    chain, (table, slow) = tiny(CONSTRAINED["soft"]), random_tables()
    ahead, rewards = ((each / ALPHA).exp() for each in (slow[1], chain.reward.table))
    last = chain.matrices[1] @ rewards
    first = chain.matrices[0] @ ((1 - trace) * ahead + trace * last)
    goal = ALPHA * torch.stack([first, last]).log()
    expected = chain.marginals()[:2] * (1 - ((goal - table) / ALPHA).exp()) / ALPHA / 2
    torch.testing.assert_close(gradient(at(chain, table, slow, "soft", trace), law_as_batch(chain)), expected)
    mixed = (chain.matrices[0] @ ((1 - trace) * slow[1] + trace * (chain.matrices[1] @ tiny().reward.table)))[None]
    slope = gradient(at(tiny(), table, slow, "mean", trace), law_as_batch(tiny()))
    torch.testing.assert_close(slope[:1], chain.marginals()[:1] * (table[:1] - mixed))


def test_some_times_of_each_trajectory_are_those_of_all():
    chain, (table, slow) = tiny(), random_tables()
    batch = law_as_batch(chain)
    whole = gradient(at(chain, table, slow, "soft", 0.5), batch)
    parts = torch.stack([gradient(at(chain, table, slow, "soft", 0.5, num_times=1), batch, s) for s in range(200)])
    assert bool(((parts.mean(dim=0) - whole).abs() < 4 * parts.std(dim=0) / math.sqrt(200)).all())


@pytest.mark.parametrize("num_times", [None, 1])
def test_one_call_of_the_reference_serves_the_value_and_its_slow_copy(num_times):
    chain = tiny()
    target = chain.target(ALPHA)
    objective = TemporalDifference(
        chain, target, Residual(PosteriorMean(target), Learned(Table(3, 2))), num_times=num_times
    )
    with metered() as meter:
        objective.loss(law_as_batch(chain), seeded("cpu", 0))
    assert meter.cost.reference_calls == 64 * 2
    with metered() as meter:
        TemporalDifference(chain, target, Learned(Table(3, 2))).loss(law_as_batch(chain), seeded("cpu", 0))
    assert meter.cost.reference_calls == meter.cost.reward_calls == 0


@pytest.mark.parametrize("estimand", ["soft", "mean"])
def test_it_learns_the_exact_value(estimand):
    (oracle, network), alpha = markov(), 0.5
    target = oracle.target(alpha)
    options = dict(trace=0.8, learning_rate=3e-2, batch_size=512)
    objective = TemporalDifference(oracle, target, Learned(network), estimand, **options)
    fit(objective, max_steps=400, enable_progress_bar=False)
    exact, other = oracle.soft_table(alpha)[:6], oracle.mean_table()[:6]
    exact, other = (exact, other) if estimand == "soft" else (other, exact)
    law = oracle.marginals()[:6]
    error, apart = ((law * (network.table.detach() - each) ** 2).sum(dim=1).mean().sqrt() for each in (exact, other))
    assert error < 0.04 < 0.12 < apart


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (dict(trace=1.5), ValueError, r"trace: expected a number in \[0, 1\], got 1.5"),
        (dict(trace="much"), TypeError, "trace"),
        (dict(decay=1.0), ValueError, r"decay: expected a number in \[0, 1\), got 1.0"),
        (dict(num_next=2), ValueError, "num_next: expected None, as a return follows the trajectory"),
        (dict(estimand="median"), ValueError, "estimand: expected one of mean, soft"),
        (dict(value=Zero()), ValueError, "trainable parameters, got Zero"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, words):
    chain = tiny()
    with pytest.raises(error, match=words):
        TemporalDifference(chain, chain.target(ALPHA), **(dict(value=Learned(Table(3, 2))) | change))


def test_the_mean_of_a_reward_that_is_minus_infinity_is_refused():
    chain, (table, slow) = tiny(rewards=(1.0, -INF, -0.5)), random_tables()
    with pytest.raises(ValueError, match="mean of a reward that is -inf"):
        at(chain, table, slow, "mean", 0.5).loss(law_as_batch(chain), seeded("cpu", 0))
