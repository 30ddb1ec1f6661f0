"""What a run tells by time step, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch

from svlearn.domains.analytic import FiniteMarkovChain, TableValue
from svlearn.evaluation.curves import COLUMNS, curves
from svlearn.inference.proposals import Policy
from svlearn.inference.resampling import central_moments
from svlearn.inference.samplers import ancestral, beam_search, best_of_n, smc, svdd
from svlearn.inference.samples import History, Samples
from svlearn.metering import Cost
from svlearn.randomness import seeded


def run_of(ess, ancestors, spreads, start=0):
    """Two groups of two particles; ancestors and spreads one per step, the same in both groups."""
    ess = torch.tensor(ess, dtype=torch.float64)
    places = tuple(torch.tensor(each).expand(2, 2) for each in ancestors)
    spreads = torch.tensor(spreads, dtype=torch.float64)[None].expand(2, -1, -1)
    history = History(ess, ess < 0, places, start=start, spreads=spreads)
    log_weights = torch.full((2, 2), -math.log(2), dtype=torch.float64)
    return Samples(torch.zeros(2, 2, 1), torch.zeros(2, 2), log_weights, torch.zeros(2), Cost(), history)


def test_a_table_by_hand():
    spreads = [[4.0, 1.0, -0.5, 0.6, 0.0], [9.0, 4.0, 8.0, 0.3, 0.25], [0.0, 0.0, 0.0, 1.0, 1.0]]
    run = run_of([[2, 1.5, 1], [1, 1.5, 2]], [[0, 1], [1, 1], [0, 1]], spreads, start=3)
    table = curves([run])
    assert list(table.columns) == COLUMNS and table["t"].tolist() == [3, 4, 5]
    assert table["ess"].tolist() == [0.75, 0.75, 0.75]
    assert table["unique_ancestors"].tolist() == [0.5, 1.0, 1.0]  # both came from the second at the start
    assert table["log_weight_spread"].tolist() == [2, 3, 0]
    assert table["increment_spread"].tolist() == [1, 2, 0]
    assert table["increment_skewness"].tolist()[:2] == [-0.5, 1.0] and math.isnan(table["increment_skewness"][2])
    assert table["increment_ess"].tolist() == [0.6, 0.3, 1.0] and table["log_ratio_spread"].tolist() == [0, 0.5, 1]
    other = run_of([[2, 1, 1], [2, 1, 1]], [[0, 1], [0, 1], [0, 1]], [[0.0] * 5] * 3, start=3)
    both = curves([run, other])
    assert both["ess"].tolist() == pytest.approx([0.875, 0.625, 0.625])
    assert both["log_weight_spread"].tolist() == pytest.approx([math.sqrt(2), math.sqrt(4.5), 0])


def test_moments_by_hand():
    # 0, 0, 3: deviations -1, -1, 2, squares 1, 1, 4, cubes -1, -1, 8; -inf counts for nothing; all -inf: 0
    moments = central_moments(torch.tensor([[0.0, 0.0, 3.0, -math.inf], [-math.inf] * 4, [5.0, -math.inf, 5.0, 5.0]]))
    torch.testing.assert_close(moments, torch.tensor([[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))


def coin():
    """x_0 and x_1 of two states, of equal chances; r = 0 or 1; the policy takes the second with 0.8."""
    half = torch.full((1, 2, 2), 0.5).double()
    chain = FiniteMarkovChain(torch.tensor([0.5, 0.5]), half, torch.tensor([0.0, 1.0]))
    policy = FiniteMarkovChain(chain.initial_probs, torch.tensor([[[0.2, 0.8]] * 2]), chain.reward.table)
    return chain, policy


@pytest.mark.parametrize("make", [lambda *parts, **more: smc(*parts, 8, 0.0, **more), lambda *p, **m: svdd(*p, 8, **m)])
def test_a_run_keeps_the_spreads_of_what_it_drew(make):
    """Groups in which k of 8 candidates took the second state have moments that k tells."""
    chain, policy = coin()
    value = TableValue(torch.tensor([[0.0, 2.0]]).double())
    samples = make(chain, chain.target(1.0), value, proposal=Policy(policy)).sample(300, generator=seeded("cpu", 0))
    spreads = samples.history.spreads
    assert spreads.shape == (300, 2, 5)
    start = spreads[:, 0]
    k = torch.arange(9).double() / 8
    variances = 4 * k * (1 - k)
    thirds = 8 * k * (1 - k) * (1 - 2 * k)
    shares = (1 - k + k * math.exp(2)) ** 2 / (1 - k + k * math.exp(4))
    nearest = (start[:, 1:2] - variances).abs() + (start[:, 2:3] - thirds).abs()
    assert nearest.amin(dim=1).max() < 1e-12  # each group is one of the nine
    torch.testing.assert_close(start[:, 3], shares[nearest.argmin(dim=1)], rtol=1e-12, atol=0)
    assert (start[:, 4] == 0).all() and (spreads[:, 1, 4] > 0).any()
    ratio = math.log(0.5 / 0.8) - math.log(0.5 / 0.2)
    among = spreads[:, 1, 4] / ratio**2  # k/8 (1 - k/8) of a two-valued log-ratio
    assert (among[:, None] - k * (1 - k)).abs().amin(dim=1).max() < 1e-7
    if samples.log_weights.shape[1] > 1:
        torch.testing.assert_close(start[:, 0], start[:, 1])  # at the start the log-weights are the increments
    else:
        assert (spreads[..., 0] == 0).all()


def test_what_has_no_meaning_is_nan(walk, target, value):
    made = {
        "ancestral": ancestral(walk, target),
        "best": best_of_n(walk, target, 3),
        "svdd": svdd(walk, target, value, 4),
        "smc": smc(walk, target, value, 4),
        "beam": beam_search(walk, target, value, 3, 2),
    }
    known = {
        name: set(table.columns[table.notna().any()]) - {"t"}
        for name, table in ((name, curves([sampler.sample(5)])) for name, sampler in made.items())
    }
    steps = {"increment_spread", "increment_skewness", "increment_ess", "log_ratio_spread"}
    assert known["ancestral"] == known["best"] == set() and known["beam"] == {"unique_ancestors"}
    assert known["svdd"] == steps and known["smc"] == steps | {"ess", "unique_ancestors", "log_weight_spread"}


def test_a_cut_leaves_the_spreads_alone(walk, target, value):
    one, other = (
        curves([smc(walk, target, value, 4).sample(6, generator=seeded("cpu", 1), max_batch=limit)])
        for limit in (None, 3)
    )
    assert np.allclose(one, other, rtol=1e-12, atol=0, equal_nan=True)
