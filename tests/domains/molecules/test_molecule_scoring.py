"""How molecules are scored: by their largest piece, whatever their atoms' numbers are, by their states' codec."""

from functools import partial

import pytest
import torch
from molecule_toys import CHAIN, calls, counted, empty_graph, graphs_of, invalid_graph, num_atoms
from rdkit import Chem
from tensordict import TensorDict

from svlearn.domains.molecules.codec import encode
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, permuted
from svlearn.domains.molecules.graph_codec import Codec
from svlearn.domains.molecules.rewards import QED, MoleculeReward
from svlearn.randomness import seeded


def test_a_graph_in_pieces_is_scored_by_its_largest(scored):
    assert scored()(graphs_of("O.CCO.CC")) == [3.0]
    assert scored(correct=True)(graphs_of("O.CCO.CC")) == [3.0]


def test_the_scores_of_invalid_graphs_can_be_chosen(scored):
    graphs = torch.cat([invalid_graph(), graphs_of("CCO"), empty_graph()])
    assert scored(invalid_score=-1.5)(graphs) == [-1.5, 3.0, -1.5]


def test_order_is_kept_over_many_tasks(scored):
    generator = seeded("cpu", 0)
    rows = torch.randint(len(CHAIN), (700,), generator=generator)
    graphs = graphs_of(*CHAIN)[rows]
    graphs = permuted(graphs, torch.rand(700, 9, generator=generator).argsort(dim=1))
    assert scored()(graphs) == (1.0 + rows).tolist()


@pytest.mark.parametrize("place", ["atoms", "bonds"])
def test_undecided_graphs_are_refused(place):
    graphs = graphs_of("CC", "CCO")
    graphs[place][1, 0] = {"atoms": MASKED_ATOM, "bonds": MASKED_BOND}[place]
    with pytest.raises(ValueError, match="graphs: expected finished graphs, got one with masked .* at index 1"):
        QED(num_workers=1)(graphs)


def test_no_molecule_is_scored_twice(scored, log):
    scorer = scored(partial(counted, log))
    graphs = graphs_of("CCO", "CC", "CCO", "OCC", "C.CC")
    assert scorer(graphs) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert sorted(calls(log)) == ["CC", "CCO"]
    order = torch.rand(5, 9, generator=seeded("cpu", 1)).argsort(dim=1)
    assert scorer(permuted(graphs, order)) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert scorer(graphs_of("CC", "N")) == [2.0, 1.0]
    assert sorted(calls(log)) == ["CC", "CCO", "N"]
    assert scorer.known == 3


def test_a_molecule_with_one_atom_place_has_a_score(scored):
    assert scored()(encode(Chem.MolFromSmiles("C"), num_atoms=1)) == [1.0]


class Amines(Codec):
    """States that are amines, given by the length of their chain."""

    def keys(self, states):
        return [bytes([length]) for length in states["length"].tolist()]

    def build(self, key, correct):
        return Chem.MolFromSmiles("N" + "C" * key[0]) if key[0] else None


def test_a_codec_reads_states_of_another_kind(scored):
    states = TensorDict({"length": torch.tensor([3, 0, 1, 3])}, batch_size=[4])
    scorer = scored(codec=Amines(), invalid_score=-1.0)
    assert scorer(states) == [4.0, -1.0, 2.0, 4.0]
    assert scorer.smiles(states) == ["CCCN", None, "CN", "CCCN"]
    reward = MoleculeReward(num_atoms, codec=Amines(), num_workers=1)
    assert reward(states).tolist() == [4.0, 0.0, 2.0, 4.0]


def test_states_of_another_kind_need_their_codec(scored):
    states = TensorDict({"x": torch.zeros(2, 3), "mask": torch.ones(2, 3)}, batch_size=[2])
    words = "graphs: expected states with atoms, bonds and mask, got mask, x without atoms, bonds; give the reward the"
    with pytest.raises(ValueError, match=words):
        scored()(states)


def test_what_is_no_molecule_has_the_invalid_score(scored):
    scorer = scored(invalid_score=-1.0, failure_score=-2.0)
    five = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    raw = Chem.MolFromSmiles("c1ccccc1.[Na+]", sanitize=False)
    assert scorer.score_molecules([Chem.Mol(), five, None, raw]) == [-1.0, -1.0, -1.0, 6.0]
    assert scorer.score(["", None]) == [-1.0, -1.0]
    assert scorer.failures == [] and five.GetNumAtoms() == 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda scorer: scorer.score_molecules("CCO"), "molecules: expected a list of Mol or None, got one str"),
        (lambda scorer: scorer.score_molecules(Chem.Mol()), "molecules: expected a list of Mol or None, got one Mol"),
        (lambda scorer: scorer.score_molecules(["CCO"]), r"molecules\[0\]: expected a Mol or None, got str"),
    ],
)
def test_one_thing_in_the_place_of_molecules_is_refused(scored, call, words):
    with pytest.raises(TypeError, match=words):
        call(scored())
