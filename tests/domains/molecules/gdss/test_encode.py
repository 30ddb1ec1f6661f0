"""Molecules as finished states of GDSS: by hand, and back again."""

import gzip

import pytest
import torch
from rdkit import Chem

from svlearn.domains.molecules.gdss.decode import SYMBOLS, decode
from svlearn.domains.molecules.gdss.encode import encode


def test_by_hand():
    """C=N and C#C-Cl."""
    states = encode([Chem.MolFromSmiles("C=N"), Chem.MolFromSmiles("C#CCl")], num_nodes=4)
    assert states["mask"].tolist() == [[True, True, False, False], [True, True, True, False]]
    assert states["x"].argmax(dim=2)[0, :2].tolist() == [SYMBOLS.index("C"), SYMBOLS.index("N")]
    assert states["x"].sum(dim=2).tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]
    expected = torch.zeros(2, 4, 4)
    expected[0, 0, 1] = expected[0, 1, 0] = 2
    expected[1, 0, 1] = expected[1, 1, 0] = 3
    expected[1, 1, 2] = expected[1, 2, 1] = 1
    assert torch.equal(states["adj"], expected)


def test_molecules_of_the_data_come_back(assets):
    """The first 200 whose SMILES have no charge and no stereochemistry."""
    with gzip.open(assets("molecules/zinc250k_smiles.txt.gz"), "rt") as lines:
        smiles = [next(lines).strip() for _ in range(400)]
    plain = [text for text in smiles if not set("+-@/\\") & set(text)][:200]
    molecules = [Chem.MolFromSmiles(text) for text in plain]
    back = decode(encode(molecules, num_nodes=38))
    assert [Chem.MolToSmiles(each) for each in back] == [Chem.MolToSmiles(each) for each in molecules]


def test_bad_molecules_are_told():
    with pytest.raises(ValueError, match=r"molecules\[1\]: expected 1 to 2 heavy atoms, got 3"):
        encode([Chem.MolFromSmiles("CC"), Chem.MolFromSmiles("CCC")], num_nodes=2)
    with pytest.raises(ValueError, match=r"molecules\[0\]: expected atoms of C, N, O, F, got P"):
        encode([Chem.MolFromSmiles("CP")], num_nodes=2, num_features=4)


@pytest.mark.parametrize(
    ("smiles", "lost"),
    [
        ("C[N+](=O)[O-]", "formal charges"),
        ("CC(=O)[O-]", "formal charges"),
        ("C[NH3+]", "formal charges"),
        ("[13CH3]C", "isotopes"),
        ("C[CH2]", "radicals"),
        ("[CH3]", "radicals"),
    ],
)
def test_what_a_state_does_not_hold_is_refused_or_counted(smiles, lost, caplog):
    molecules = [Chem.MolFromSmiles("CC"), Chem.MolFromSmiles(smiles)]
    with pytest.raises(ValueError, match=rf"molecules\[1\]: expected one that a state .* would lose its {lost}"):
        encode(molecules, num_nodes=5)
    states = encode(molecules, num_nodes=5, losses="count")
    assert f"of 2 molecules, states of GDSS lose what they do not hold: 1 {lost}" in caplog.text
    assert decode(states)[1] is not None


@pytest.mark.parametrize("smiles", ["C[N+](C)(C)C", "C[n+]1ccccc1", "C[O+](C)C", "CO.CN", "CS(C)(=O)=O", "[CH3:7]C"])
def test_what_valences_imply_comes_back(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    (back,) = decode(encode([molecule], num_nodes=7))
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    assert Chem.MolToSmiles(back) == Chem.MolToSmiles(molecule)


def test_stereochemistry_is_left_out():
    (back,) = decode(encode([Chem.MolFromSmiles("C[C@H](N)F")], num_nodes=4))
    assert Chem.MolToSmiles(back) == "CC(N)F"


@pytest.mark.parametrize(
    ("molecules", "error", "words"),
    [
        ([None], ValueError, r"molecules\[0\]: expected 1 to 9 heavy atoms, got 0"),
        ([Chem.Mol()], ValueError, r"molecules\[0\]: expected 1 to 9 heavy atoms, got 0"),
        ([Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)], ValueError, r"molecules\[0\]: .* RDKit sanitises"),
        ([Chem.MolFromSmiles("[2H]C")], ValueError, r"molecules\[0\]: expected atoms of .*, got H"),
        ([Chem.MolFromSmiles("CN->CC")], ValueError, r"molecules\[0\]: expected bonds of order 1 to 3"),
        ("CC", TypeError, "molecules: expected a list of Mol or None, got one str"),
    ],
)
def test_what_is_no_molecule_is_refused(molecules, error, words):
    with pytest.raises(error, match=words):
        encode(molecules, num_nodes=9)
    with pytest.raises(ValueError, match="losses: expected one of refuse, count, got 'drop'"):
        encode([Chem.MolFromSmiles("C")], num_nodes=9, losses="drop")


def test_hydrogens_as_atoms_change_nothing():
    molecule = Chem.MolFromSmiles("CC(=O)Nc1ccco1")
    assert (encode([Chem.AddHs(molecule)], 9) == encode([molecule], 9)).all()
