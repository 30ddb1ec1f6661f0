"""Figures of sets of molecules, against sets whose figures are known."""

import itertools
import math

import pytest
import torch
from molecule_toys import empty_graph, graphs_of, invalid_graph
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from svlearn.domains.molecules import metrics
from svlearn.domains.molecules.codec import decode


def molecules(*smiles: str | None) -> list[Chem.Mol | None]:
    return [None if text is None else Chem.MolFromSmiles(text) for text in smiles]


# ethanol twice, in two writings; one of the six is invalid, one is in two pieces
SIX = molecules("CCO", "OCC", "CC", "C.O", None, "c1ccccc1")


def test_validity_counts_what_is_a_molecule():
    assert metrics.validity(SIX) == 5 / 6
    assert metrics.validity(molecules(None, None)) == 0.0
    assert metrics.validity(molecules("C")) == 1.0


def test_connected_validity_counts_what_is_in_one_piece_of_all():
    assert metrics.connected_validity(SIX) == 4 / 6


def test_uniqueness_is_of_molecules_and_not_of_writings():
    assert metrics.uniqueness(SIX) == 4 / 5
    assert metrics.uniqueness(molecules("CC", "CC", "CC", None)) == 1 / 3


def test_novelty_is_of_distinct_molecules():
    assert metrics.novelty(SIX, {"CCO", "C.O", "CCCC"}) == 2 / 4
    assert metrics.novelty(SIX, set()) == 1.0
    assert metrics.novelty(molecules("OCC", "CCO", None), {"CCO"}) == 0.0


def test_internal_diversity_is_the_mean_distance_of_distinct_pairs():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [set(generator.GetFingerprint(molecule).GetOnBits()) for molecule in SIX if molecule is not None]
    distances = [1 - len(a & b) / len(a | b) for a, b in itertools.combinations(bits, 2)]
    assert len(distances) == 10
    assert 0.0 in distances  # the two ethanols
    assert metrics.internal_diversity(SIX) == pytest.approx(sum(distances) / 10, abs=1e-12)


def test_internal_diversity_of_two_by_hand():
    # Methane and water have one environment each, and share none; methanol twice shares all.
    assert metrics.internal_diversity(molecules("C", "O")) == 1.0
    assert metrics.internal_diversity(molecules("CO", None, "OC")) == 0.0
    assert metrics.internal_diversity(molecules("CO", "OC", "F")) == pytest.approx(2 / 3, abs=1e-12)


def test_scaffolds_are_rings_with_what_links_them():
    rings = molecules("Cc1ccccc1", "Oc1ccccc1", "C1CC1CCC1CC1", "CCC", None)
    assert metrics.num_scaffolds(rings) == 2
    assert metrics.num_scaffolds(molecules("CCC")) == 0


def test_scaffold_diversity_is_scaffolds_per_molecule_with_rings():
    # benzene twice, cyclopropylethylcyclopropane, and two without rings
    rings = molecules("Cc1ccccc1", "Oc1ccccc1", "C1CC1CCC1CC1", "CCC", "O", None)
    assert metrics.scaffold_diversity(rings) == 2 / 3
    assert metrics.scaffold_diversity(molecules("c1ccccc1", "Cc1ccccc1")) == 1 / 2
    assert math.isnan(metrics.scaffold_diversity(molecules("CCC", None)))


def test_validity_without_and_with_correction():
    graphs = torch.cat([graphs_of("CCO"), invalid_graph(), empty_graph()])
    assert metrics.validity(decode(graphs)) == 1 / 3
    assert metrics.validity(decode(graphs, correct=True)) == 2 / 3


def test_describe_names_its_figures():
    assert metrics.describe(SIX) == {
        "validity": 5 / 6,
        "connected": 4 / 6,
        "uniqueness": 4 / 5,
        "diversity": metrics.internal_diversity(SIX),
    }


def test_figures_over_nothing_are_nan():
    none_valid = metrics.describe(molecules(None, None))
    assert (none_valid["validity"], none_valid["connected"]) == (0.0, 0.0)
    assert math.isnan(none_valid["uniqueness"]) and math.isnan(none_valid["diversity"])
    assert math.isnan(metrics.novelty(molecules(None), {"C"}))
    assert math.isnan(metrics.internal_diversity(molecules("C", None)))
    assert all(math.isnan(figure) for figure in metrics.describe([]).values())


def test_what_rdkit_does_not_sanitise_is_invalid_and_what_it_does_is_valid():
    """Carbon with five neighbours, no atoms, and six that were only not sanitised yet."""
    raw = [Chem.MolFromSmiles(Chem.MolToSmiles(each), sanitize=False) for each in SIX if each is not None]
    odd = [Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False), Chem.Mol(), None]
    assert metrics.describe([*raw, *odd]) == metrics.describe([*SIX, None, None])
    assert metrics.novelty([*raw, *odd], {"CCO"}) == 3 / 4
    assert metrics.num_scaffolds([*raw, *odd]) == 1
    assert math.isnan(metrics.describe(odd)["diversity"])


@pytest.mark.parametrize("molecules", ["CCO", Chem.MolFromSmiles("CCO"), ["CCO"]])
def test_what_is_no_list_of_molecules_is_refused(molecules):
    for figure in (metrics.describe, metrics.validity, metrics.num_scaffolds):
        with pytest.raises(TypeError, match="molecules.*: expected a"):
            figure(molecules)
    with pytest.raises(TypeError, match="known: expected a set of SMILES, got one str"):
        metrics.novelty(SIX, "CCO")


def test_hydrogens_as_atoms_make_no_other_molecule():
    plain, written = Chem.MolFromSmiles("CCO"), Chem.AddHs(Chem.MolFromSmiles("CCO"))
    assert metrics.uniqueness([plain, written]) == 0.5 and metrics.internal_diversity([plain, written]) == 0.0
    assert metrics.novelty([written], {"CCO"}) == 0.0
