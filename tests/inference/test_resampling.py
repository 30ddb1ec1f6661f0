"""Every scheme keeps each particle K w_k times on average; three of them hold each count within one of it."""

import math

import pytest
import torch

from svlearn.inference.resampling import SCHEMES, ess, scheme

WEIGHTS = torch.tensor([[0.5, 0.0, 0.13, 0.07, 0.3], [0.2] * 5, [0.0, 0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)


def counts(name, repeats):
    weights = WEIGHTS.repeat_interleave(repeats, dim=0)
    ancestors = SCHEMES[name](
        weights, torch.rand(weights.shape, generator=torch.Generator().manual_seed(0), dtype=weights.dtype)
    )
    copies = torch.zeros(ancestors.shape, dtype=torch.float64).scatter_add(1, ancestors, torch.ones_like(weights))
    return copies.view(len(WEIGHTS), repeats, -1)


@pytest.mark.parametrize("name", SCHEMES)
def test_copies_are_unbiased(name):
    repeats = 20_000
    copies = counts(name, repeats)
    error = copies.std(dim=1) / math.sqrt(repeats)
    assert ((copies.mean(dim=1) - 5 * WEIGHTS).abs() <= 4 * error + 1e-12).all()
    assert (copies.sum(dim=2) == 5).all()
    assert (copies[WEIGHTS.unsqueeze(1).expand_as(copies) == 0] == 0).all()


@pytest.mark.parametrize("name", ["systematic", "residual"])
def test_no_count_falls_below_the_whole_part_of_its_mean(name):
    assert (counts(name, 500) >= (5 * WEIGHTS + 1e-9).floor().unsqueeze(1)).all()


def test_systematic_counts_are_within_one_of_their_mean():
    assert ((counts("systematic", 500) - 5 * WEIGHTS.unsqueeze(1)).abs() < 1).all()


def test_stratified_varies_less_than_multinomial():
    assert counts("stratified", 5000).var(dim=1)[0].sum() < 0.8 * counts("multinomial", 5000).var(dim=1)[0].sum()


def test_an_unknown_scheme_lists_the_known_ones():
    with pytest.raises(ValueError, match="multinomial, stratified, systematic, residual, got 'bootstrap'"):
        scheme("bootstrap")


def test_ess_by_hand():
    log_weights = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf, -math.inf], [-math.inf] * 4])
    assert ess(log_weights.double()).tolist() == pytest.approx([4.0, 1.0, 0.0])
    halves = torch.tensor([[math.log(3.0), 0.0]]).double()
    assert ess(halves).item() == pytest.approx(16 / 10)
    assert ess(halves + 700).item() == pytest.approx(16 / 10)
