"""The order in which places are decided, and the forward process that hides them."""

import itertools
import math
from collections import Counter

import pytest
import torch

from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, graph_state, num_pairs, pair_mask
from svlearn.domains.molecules.masking import hide, num_decided, num_steps
from svlearn.randomness import seeded


def mask_of(*sizes: int, most: int = 9) -> torch.Tensor:
    return torch.arange(most) < torch.tensor(sizes).unsqueeze(1)


def finished(mask: torch.Tensor):
    """Graphs whose every place is decided, and nowhere 0, so that nothing can be mistaken for an empty place."""
    return graph_state(torch.where(mask, 1, 0), torch.where(pair_mask(mask), 2, 0), mask)


def counts(mask: torch.Tensor, t: int) -> tuple[list[int], list[int]]:
    atoms, bonds = num_decided(mask, torch.full((len(mask),), t)).unbind(dim=1)
    return atoms.tolist(), bonds.tolist()


def assert_frequency(hits: float, trials: int, probability: float) -> None:
    error = math.sqrt(probability * (1 - probability) / trials)
    assert abs(hits / trials - probability) < 4 * error


def test_nine_atoms_decide_exactly_one_place_a_step_atoms_first():
    assert num_steps(9) == 45
    mask = mask_of(9)
    for t in range(46):
        assert counts(mask, t) == ([min(t, 9)], [max(0, t - 9)])


@pytest.mark.parametrize("size", range(1, 10))
def test_every_size_begins_with_nothing_and_ends_with_all(size):
    mask = mask_of(size)
    numbers = [counts(mask, t) for t in range(num_steps(9) + 1)]
    atoms, bonds = [a for [a], _ in numbers], [b for _, [b] in numbers]
    assert (atoms[0], bonds[0]) == (0, 0)
    assert (atoms[-1], bonds[-1]) == (size, num_pairs(size))
    assert bonds[9] == 0 and atoms[9] == size
    for path in (atoms, bonds):
        assert all(0 <= after - before <= 1 for before, after in itertools.pairwise(path))


def test_half_way_by_hand():
    mask = mask_of(1, 4, 8)
    assert counts(mask, 5) == ([0, 2, 4], [0, 0, 0])  # floor(5/9 · size)
    assert counts(mask, 30) == ([1, 4, 8], [0, 3, 16])  # floor(21/36 · pairs), of 0, 6 and 28 pairs


@pytest.mark.parametrize("t", [0, 1, 5, 9, 10, 30, 44, 45])
def test_hiding_leaves_as_many_places_as_are_decided_at_t(t):
    mask = mask_of(9, 7, 3, 2, 1)
    state, times = finished(mask), torch.full((5,), t)
    hidden = hide(state, times, generator=seeded("cpu", 9))
    atoms, bonds = num_decided(mask, times).unbind(dim=1)
    assert torch.equal(((hidden["atoms"] != MASKED_ATOM) & mask).sum(1), atoms)
    assert torch.equal(((hidden["bonds"] != MASKED_BOND) & pair_mask(mask)).sum(1), bonds)
    for name, masked in (("atoms", MASKED_ATOM), ("bonds", MASKED_BOND)):
        same = hidden[name] == state[name]
        assert bool((same | (hidden[name] == masked)).all())
    assert bool((hidden["atoms"][~mask] == 0).all()) and bool((hidden["bonds"][~pair_mask(mask)] == 0).all())


def test_hiding_does_not_write_on_its_input():
    state = finished(mask_of(9))
    hide(state, torch.tensor([0]), generator=seeded("cpu", 10))
    assert bool((state["atoms"] == 1).all()) and bool((state["bonds"] == 2).all())


def test_each_place_is_kept_with_its_marginal_probability():
    trials, t = 8000, 23
    mask = mask_of(7).expand(trials, -1)
    hidden = hide(finished(mask), torch.full((trials,), t), generator=seeded("cpu", 11))
    [atoms], [bonds] = counts(mask[:1], t)
    assert (atoms, bonds) == (7, 8)  # floor(14/36 · 21)
    kept = (hidden["bonds"] != MASKED_BOND)[:, pair_mask(mask[:1])[0]].double().mean(dim=0)
    for frequency in kept.tolist():
        assert_frequency(frequency * trials, trials, 8 / 21)
    early = hide(finished(mask), torch.full((trials,), 4), generator=seeded("cpu", 12))
    for frequency in (early["atoms"] != MASKED_ATOM)[:, :7].double().mean(dim=0).tolist():
        assert_frequency(frequency * trials, trials, 3 / 7)  # floor(4/9 · 7)


def test_hiding_in_two_stages_is_hiding_at_once():
    # 4 atoms of at most 4: T = 10. From 8 decided places to 6: of the 6 bonds 4, then 2 are kept: 15 subsets.
    trials = 15_000
    state = finished(mask_of(4, most=4)).expand(trials).clone()
    generator = seeded("cpu", 13)
    between = hide(state, torch.full((trials,), 8), generator=generator)
    last = hide(between, torch.full((trials,), 6), generator=generator)
    kept = last["bonds"] != MASKED_BOND
    assert bool((kept <= (between["bonds"] != MASKED_BOND)).all())
    counts = Counter(map(tuple, kept.tolist()))
    assert len(counts) == math.comb(6, 2)
    for hits in counts.values():
        assert_frequency(hits, trials, 1 / math.comb(6, 2))


def test_rows_may_be_at_different_times():
    mask = mask_of(9).expand(3, -1)
    hidden = hide(finished(mask), torch.tensor([0, 20, 45]), generator=seeded("cpu", 14))
    assert (hidden["atoms"] != MASKED_ATOM).sum(1).tolist() == [0, 9, 9]
    assert (hidden["bonds"] != MASKED_BOND).sum(1).tolist() == [0, 11, 36]
