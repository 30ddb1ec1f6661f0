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
