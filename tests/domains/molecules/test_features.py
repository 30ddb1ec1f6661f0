"""What is read off a half-drawn molecule, against values worked out by hand."""

import math

import pytest
import torch

from svlearn.domains.molecules.features import structural_features
from svlearn.domains.molecules.graph import (
    MASKED_ATOM,
    MASKED_BOND,
    graph_state,
    num_pairs,
    pair_indices,
    pair_mask,
    permuted,
    to_dense,
)
from svlearn.randomness import seeded


def random_states(batch: int, size: int, seed: int):
    """Half-decided graphs, the atoms that do not exist anywhere among the others."""
    generator = seeded("cpu", seed)
    mask = torch.rand(batch, size, generator=generator) < 0.8
    atoms = torch.randint(MASKED_ATOM + 1, (batch, size), generator=generator) * mask
    kinds = torch.tensor([0.5, 0.2, 0.07, 0.03, 0.2]).expand(batch * num_pairs(size), -1)
    bonds = torch.multinomial(kinds, 1, generator=generator).view(batch, -1)
    return graph_state(atoms, bonds * pair_mask(mask), mask)


def test_a_finished_molecule_by_hand():
    # C-C=O in four places: the path 0-1-2, and place 3 is empty.
    state = graph_state(
        torch.tensor([[0, 0, 2, 0]]), torch.tensor([[1, 0, 0, 2, 0, 0]]), torch.tensor([[True, True, True, False]])
    )
    of_atoms, of_pairs = structural_features(state)
    used, free, piece_free = [1, 3, 2], [3, 1, 0], 4
    expected = torch.tensor([[used[i] / 4, free[i] / 4, 0, piece_free / 4, 0] for i in range(3)] + [[0.0] * 5])
    torch.testing.assert_close(of_atoms[0], expected)
    expected_pairs = {
        (0, 1): [1, 0, 2 / 3, 0, 0],  # walks of length 3: 0-1-0-1 and 0-1-2-1
        (0, 2): [1, 1 / 2, 0, 2 / 4, 0],  # walks of length 2: one; of length 4: 0-1-0-1-2 and 0-1-2-1-2
        (1, 2): [1, 0, 2 / 3, 0, 0],
        (0, 3): [0] * 5,
        (1, 3): [0] * 5,
        (2, 3): [0] * 5,
    }
    pairs = list(zip(*pair_indices(4).tolist()))
    torch.testing.assert_close(of_pairs[0], torch.tensor([expected_pairs[pair] for pair in pairs]).float())


def test_a_half_decided_molecule_by_hand():
    # C-?, N and O; the bonds 0-2, 0-3 and 2-3 are not decided, there is none at 1-2 and 1-3.
    m = MASKED_BOND
    state = graph_state(
        torch.tensor([[0, MASKED_ATOM, 1, 2]]), torch.tensor([[1, m, m, 0, 0, m]]), torch.ones(1, 4, dtype=torch.bool)
    )
    of_atoms, of_pairs = structural_features(state)
    outward = math.log1p(2) / 3  # each of the pieces {0, 1}, {2}, {3} has two undecided bonds to the others
    expected = [
        [1 / 4, 3 / 4, 2 / 4, 6 / 4, outward],
        [1 / 4, 3 / 4, 0, 6 / 4, outward],
        [0, 3 / 4, 2 / 4, 3 / 4, outward],
        [0, 2 / 4, 2 / 4, 2 / 4, outward],
    ]
    torch.testing.assert_close(of_atoms[0], torch.tensor(expected))
    between = math.log1p(1) / 3  # also for 1-2: the bond 0-2 may join their pieces
    expected_pairs = [[1, 0, 1 / 3, 0, 0], *([[0, 0, 0, 0, between]] * 5)]
    torch.testing.assert_close(of_pairs[0], torch.tensor(expected_pairs))


def test_an_undecided_bond_inside_a_piece_does_not_lead_out_of_it():
    # The chain 0-1-2 with 0-2 not decided, and 0-3, which may join a fourth atom to it.
    m = MASKED_BOND
    state = graph_state(
        torch.zeros(1, 4, dtype=torch.long), torch.tensor([[1, m, m, 1, 0, 0]]), torch.ones(1, 4, dtype=torch.bool)
    )
    of_atoms, of_pairs = structural_features(state)
    torch.testing.assert_close(of_atoms[0, :, 4], torch.full((4,), math.log1p(1) / 3))
    inside, across = math.log1p(2) / 3, math.log1p(1) / 3  # a bond inside counts once from either end
    expected = torch.tensor([inside, inside, across, inside, across, across])
    torch.testing.assert_close(of_pairs[0, :, 4], expected)


@pytest.mark.parametrize("size", [2, 3, 9, 17])
def test_the_two_ends_of_a_chain_are_in_one_piece_and_a_cut_parts_them(size):
    bonds = torch.zeros(2, num_pairs(size), dtype=torch.long)
    first, second = pair_indices(size)
    bonds[:, second == first + 1] = 1
    bonds[1, (first == 0) & (second == 1)] = 0
    state = graph_state(torch.zeros(2, size, dtype=torch.long), bonds, torch.ones(2, size, dtype=torch.bool))
    ends = int(((first == 0) & (second == size - 1)).nonzero())
    assert structural_features(state)[1][:, ends, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", [3, 4, 5])
def test_the_shortest_walk_tells_the_ring_that_a_bond_would_close(size):
    bonds = torch.zeros(1, num_pairs(size), dtype=torch.long)
    first, second = pair_indices(size)
    bonds[:, second == first + 1] = 1
    state = graph_state(torch.zeros(1, size, dtype=torch.long), bonds, torch.ones(1, size, dtype=torch.bool))
    ends = int(((first == 0) & (second == size - 1)).nonzero())
    walks = structural_features(state)[1][0, ends, 1:4] > 0
    assert 3 + walks.tolist().index(True) == size


def test_renumbering_the_atoms_renumbers_the_features():
    batch, size = 64, 7
    state = random_states(batch, size, seed=2)
    order = torch.rand(batch, size, generator=seeded("cpu", 3)).argsort(dim=1)
    of_atoms, of_pairs = structural_features(state)
    atoms_after, pairs_after = structural_features(permuted(state, order))
    torch.testing.assert_close(atoms_after, of_atoms.gather(1, order.unsqueeze(-1).expand_as(of_atoms)))
    dense = to_dense(of_pairs, size)
    rows = torch.arange(batch)[:, None, None]
    torch.testing.assert_close(to_dense(pairs_after, size), dense[rows, order[:, :, None], order[:, None, :]])


def test_atoms_that_do_not_exist_change_nothing():
    state = random_states(64, 6, seed=4)
    wider = graph_state(*(torch.nn.functional.pad(state[name], (0, 2)) for name in ("atoms", "bonds", "mask")))
    inside = pair_indices(8).max(dim=0).values < 6
    wider["bonds"] = torch.zeros(64, num_pairs(8), dtype=torch.long)
    wider["bonds"][:, inside] = state["bonds"]
    of_atoms, of_pairs = structural_features(state)
    atoms_wider, pairs_wider = structural_features(wider)
    scale = torch.tensor([1, 1, 8 / 6, 8 / 6, 1])  # two features are divided by the number of places
    torch.testing.assert_close(atoms_wider[:, :6] * scale, of_atoms)
    torch.testing.assert_close(pairs_wider[:, inside], of_pairs)
    assert atoms_wider[:, 6:].abs().sum() == 0
