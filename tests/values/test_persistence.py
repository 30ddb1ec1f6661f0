"""How long a choice lasts: enumerated on the chain, where the exact value keeps all of it and others do not."""

import math

import pytest
import torch
from torch import nn

from svlearn.domains.analytic import FiniteMarkovChain, GaussianReference
from svlearn.domains.analytic.markov_chain import TableValue
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean
from svlearn.values.selection_gain import persistence, selection_gain

CHAIN = FiniteMarkovChain.random(5, 4, seed=1)
N = 20_000


def noisy():
    """The mean value and what no later state knows of."""
    noise = 0.5 * torch.randn(4, 5, generator=seeded("cpu", 3), dtype=torch.float64)
    return CHAIN.mean_table()[:-1] + noise


def enumerated(table, t, levels):
    """Σ p(x_{t-1}) p(x | x_{t-1}) p(x' | x_{t-1}) sign(v(x) - v(x')) E[v_{t+n} | x] on the chain."""
    said = torch.cat([table, CHAIN.reward.table[None]])
    until = min(t + levels, 4)
    future = (
        torch.linalg.multi_dot([torch.eye(5).double(), torch.eye(5).double(), *CHAIN.matrices[t:until]]) @ said[until]
    )
    laws = CHAIN.initial_probs[None] if t == 0 else CHAIN.matrices[t - 1]
    before = torch.ones(1).double() if t == 0 else CHAIN.marginals()[t - 1]
    signs = torch.sign(table[t][:, None] - table[t][None])
    return torch.einsum("a,ax,ay,xy,x->", before, laws, laws, signs, future).item()


def trajectories(number=N):
    return roll_out(CHAIN, number, target=CHAIN.target(0.5), generator=seeded("cpu", 1))


def test_gains_some_levels_on_are_those_of_all_outcomes():
    tables = CHAIN.mean_table()[:-1], noisy()
    rows = persistence([TableValue(each) for each in tables], CHAIN, trajectories(), levels=(0, 1, 2, 9))
    assert len(rows) == 4 * 2 * 4
    for row in rows.itertuples():
        exact, at_once = (enumerated(tables[row.value], row.t, levels) for levels in (row.levels, 0))
        assert abs(row.gain - exact) < 4 * row.gain_error < 0.1
        assert row.kept == pytest.approx(row.gain / at_once, rel=0.1)


def test_the_exact_value_keeps_all_and_noise_is_washed_away():
    tables = CHAIN.mean_table()[:-1], noisy()
    kept = [[enumerated(each, 1, levels) / enumerated(each, 1, 0) for levels in (1, 2, 9)] for each in tables]
    assert kept[0] == pytest.approx([1.0] * 3) and kept[1][-1] < 0.7


def test_up_to_the_end_it_is_the_gain_itself():
    values = [PosteriorMean(CHAIN.target(0.5))]
    rows = persistence(values, CHAIN, trajectories(500), levels=[4], generator=seeded("cpu", 2))
    gains = selection_gain(values, CHAIN, trajectories(500), generator=seeded("cpu", 2))
    assert rows["gain"].tolist() == pytest.approx(gains["gain"].tolist())
    assert rows["gain_error"].tolist() == pytest.approx(gains["gain_error"].tolist())


def test_a_value_that_tells_nothing_apart_has_no_share():
    rows = persistence([TableValue(torch.zeros(4, 5).double())], CHAIN, trajectories(20), steps=[2])
    assert rows["kept"].isna().all() and (rows["gain"] == 0).all() and rows["levels"].tolist() == [0, 1, 10]


def test_a_value_of_the_state_alone_costs_a_call_a_step():
    with metered() as meter:
        persistence([CHAIN.mean_value()], CHAIN, trajectories(20), steps=[1, 2])
    assert meter.cost.reference_calls == 20 * 4 + 2 * 20  # the first 4 draw the trajectories


def test_bad_arguments_are_refused_by_name():
    value = CHAIN.mean_value()
    with pytest.raises(ValueError, match="levels: expected integers of at least 0"):
        persistence([value], CHAIN, trajectories(20), levels=[-1])
    with pytest.raises(ValueError, match="steps: expected integers of 0 ... 3"):
        persistence([value], CHAIN, trajectories(20), steps=[4])
    with pytest.raises(TypeError, match="values: expected Values"):
        persistence([nn.Identity()], CHAIN, trajectories(20))
    assert math.isnan(persistence([Learned(Nothing())], CHAIN, trajectories(20), steps=[0])["kept"][0])


class Nothing(nn.Module):
    def forward(self, x, t):
        return torch.zeros(len(x))


def test_what_dies_at_the_end_counts_until_then():
    """A walk whose r forbids half of its ends: at no level on, all of the value that chose is there, as without."""

    class Place(nn.Module):
        def forward(self, x, t):
            return x[:, 0]

    walk = GaussianReference.brownian(1, 3)
    target = Target(lambda x: torch.where(x[:, 0] < 0, -math.inf, x[:, 0]), 1.0)
    rows = roll_out(walk, N, target=target, generator=seeded("cpu", 0))
    options = dict(levels=[0, 1], steps=[1, 2], generator=seeded("cpu", 1))
    kept = persistence([Learned(Place())], walk, rows, **options)["kept"].tolist()
    assert kept[:3] == pytest.approx([1.0, 1.0, 1.0], abs=0.08)  # and a step that only adds noise washes nothing away
