"""Selections of one step: what partial and sorted resampling keep, windows, and groups that do not interact."""

import math

import pytest
import torch
from inference_toys import MARKOV, make_value

from svlearn.inference.beam import Beam
from svlearn.inference.log_weights import LogWeights
from svlearn.inference.resampling import SCHEMES, multinomial, stratified, systematic
from svlearn.inference.samplers import smc
from svlearn.inference.selection import (
    BestAtEnd,
    Candidates,
    Global,
    Keep,
    LocalGreedy,
    LocalSampling,
    Nested,
)
from svlearn.randomness import seeded

LOG_WEIGHTS = torch.tensor([0.3, 0.05, 0.2, 0.02, 0.4, 0.03], dtype=torch.float64).log()
VALUES = torch.tensor([2.0, -1.0, 5.0, 0.5, 1.0, 3.0], dtype=torch.float64)


def candidates(log_weights, values, copies=1, final=False, t=2):
    """Groups (B, K) whose weights were given before this step, or are what its candidates add."""
    log_weights, values = (each.expand(*log_weights.shape[:-1], -1) for each in (log_weights, values))
    size = log_weights.shape[1] // copies
    split = (len(log_weights), size, copies)
    nothing = torch.zeros(split, dtype=torch.float64)
    weights_before = torch.zeros(split[:2], dtype=torch.float64)
    x = torch.arange(values.numel())[:, None] % 4
    exponents = torch.ones(len(log_weights), dtype=torch.float64)
    return Candidates(
        values.reshape(split), log_weights.reshape(split), LogWeights(weights_before), nothing, exponents, t, final, x=x
    )


def resampled(selection, groups, seed=0):
    batch = candidates(LOG_WEIGHTS.expand(groups, -1), VALUES)
    return selection(batch, selection.noise(batch.shape, seeded("cpu", seed)))


def places(batch, survivors):
    """Those of the survivors (B, K), written out where all stay as they are."""
    own = torch.arange(batch.shape[1]).expand(batch.shape[:2])
    return own if survivors.index is None else survivors.index


def test_in_part_the_heaviest_and_the_lightest_are_drawn_anew_and_share_their_weight():
    survivors = resampled(Global(systematic, 1.0, share=0.5), 4000)  # three: 4 and 0, the heaviest, and 3
    kept = [1, 2, 5]
    assert (survivors.index[:, kept] == torch.tensor(kept)).all()
    torch.testing.assert_close(survivors.log_weights[:, kept], LOG_WEIGHTS[kept].expand(4000, -1))
    drawn = [4, 0, 3]
    assert set(survivors.index[:, drawn].unique().tolist()) == set(drawn)
    torch.testing.assert_close(survivors.log_weights[:, drawn].exp(), torch.full((4000, 3), 0.72 / 3).double())
    assert survivors.resampled.all()


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("by_value", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.34, 0.01])
def test_the_weight_that_descends_from_a_particle_is_its_own_on_average(name, by_value, share):
    groups = 20_000
    survivors = resampled(Global(SCHEMES[name], 1.0, by_value=by_value, share=share), groups)
    weights = survivors.log_weights.exp()
    totals = torch.zeros(groups, 6).double().scatter_add(1, survivors.index, weights)
    torch.testing.assert_close(totals.sum(dim=1), torch.ones(groups).double())
    error = totals.std(dim=0) / math.sqrt(groups)
    assert ((totals.mean(dim=0) - LOG_WEIGHTS.exp()).abs() <= 4 * error + 1e-12).all()
    assert (error[LOG_WEIGHTS.exp() > 0.2] > 0).any()


def test_sorted_by_value_the_copies_below_any_value_are_within_one_of_their_mean():
    """Of systematic resampling this holds for runs of particles in the order in which it sees them."""
    order = VALUES.argsort()
    means = 6 * LOG_WEIGHTS.exp()[order].cumsum(dim=0)
    off = {}
    for by_value in (False, True):
        index = resampled(Global(systematic, 1.0, by_value=by_value), 2000).index
        copies = torch.zeros(2000, 6).double().scatter_add(1, index, torch.ones(2000, 6).double())
        off[by_value] = (copies[:, order].cumsum(dim=1) - means).abs().max()
    assert off[True] < 1 < off[False]


@pytest.mark.parametrize("scheme", [systematic, stratified])
def test_sorting_lowers_the_variance_of_what_the_value_says(scheme):
    """Of the mean value of 64 particles after resampling, over 5,000 resamplings of the same weights."""
    values = torch.randn(64, generator=seeded("cpu", 1), dtype=torch.float64)
    log_weights = torch.randn(64, generator=seeded("cpu", 2), dtype=torch.float64).log_softmax(dim=0)
    batch = candidates(log_weights.expand(5000, -1), values)

    def variance(selection):
        survivors = selection(batch, selection.noise(batch.shape, seeded("cpu", 3)))
        means = values[survivors.index].mean(dim=1)
        assert abs(means.mean() - log_weights.exp() @ values) < 4 * means.std() / math.sqrt(5000)
        return means.var()

    sorted_first, as_they_are = (variance(Global(scheme, 1.0, by_value=by_value)) for by_value in (True, False))
    assert sorted_first < 0.1 * as_they_are and as_they_are < variance(Global(multinomial, 1.0))


@pytest.mark.parametrize(("window", "times"), [((1, 3), [1, 2]), ((0, 1), [0]), ((4, 9), [4]), (None, [0, 1, 2, 3, 4])])
def test_groups_are_resampled_in_the_window_alone(window, times):
    parts = MARKOV, MARKOV.target(0.5), make_value("exact", MARKOV, 0.5)
    for more in ({}, {"num_candidates": 2}):
        history = smc(*parts, 6, 1.0, window=window, **more).sample(20, generator=seeded("cpu", 0)).history
        expected = [t in times for t in range(6)]
        assert torch.equal(history.resampled, torch.tensor(expected).expand(20, -1))
        own = torch.arange(6).expand(20, -1)
        assert [not torch.equal(ancestors, own) for ancestors in history.ancestors] == expected


SELECTIONS = {
    "keep": (Keep(), 1),
    "local": (LocalSampling(), 3),
    "greedy": (LocalGreedy(), 3),
    "nested": (Nested(LocalSampling(), Global(systematic, 0.9)), 3),
    "beam": (Beam(), 3),
    "best": (BestAtEnd(), 1),
    **{name: (Global(scheme, 0.7), 1) for name, scheme in SCHEMES.items()},
    "sorted, in part": (Global(systematic, 0.9, by_value=True, share=0.6), 1),
}


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("final", [False, True])
def test_a_group_does_not_see_the_others(name, final):
    """Each group of a batch is served as it would be alone, a dead one and a balanced one among them."""
    selection, copies = SELECTIONS[name]
    log_weights = 2 * torch.randn(8, 12, generator=seeded("cpu", 1), dtype=torch.float64)
    log_weights[2], log_weights[5] = -math.inf, 0.0
    values = torch.randn(8, 12, generator=seeded("cpu", 2), dtype=torch.float64)
    together = candidates(log_weights, values, copies, final)
    noise = selection.noise(together.shape, seeded("cpu", 3))
    survivors = selection(together, noise)
    groups = [candidates(log_weights[k : k + 1], values[k : k + 1], copies, final) for k in range(8)]
    alone = [selection(each, noise[k : k + 1]) for k, each in enumerate(groups)]
    pairs = list(zip(groups, alone, strict=True))
    assert torch.equal(places(together, survivors), torch.cat([places(*pair) for pair in pairs]))
    apart = torch.cat([own.weights(each).read() for each, own in pairs])
    assert torch.equal(survivors.weights(together).read(), apart)
    if survivors.resampled is None:
        assert all(each.resampled is None for each in alone)
    else:
        assert torch.equal(survivors.resampled, torch.cat([each.resampled for each in alone]))
    if name in SCHEMES and not final:
        assert not survivors.resampled[2] and not survivors.resampled[5] and survivors.resampled.any()


@pytest.mark.parametrize("window", [(3, 1), (2, 2), (-1, 3), (1, 2, 3)])
def test_an_impossible_window_is_refused(window):
    with pytest.raises(ValueError, match=r"window: expected None or \(start, stop\) with 0 <= start < stop"):
        smc(MARKOV, MARKOV.target(1.0), make_value("zero", MARKOV, 1.0), 4, window=window)
