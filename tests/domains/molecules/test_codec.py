"""Graph states to RDKit molecules and back, and the repair of valences."""

import itertools

import pytest
import torch
from rdkit import Chem

from svlearn.domains.molecules.codec import build, decode, encode, largest_piece, sanitised
from svlearn.domains.molecules.graph import ATOMS, graph_state, num_pairs
from svlearn.domains.molecules.qm9_data import NUM_ATOMS, encode_smiles, read_smiles
from svlearn.randomness import seeded

SMILES = (
    *("C", "N", "O", "F", "CC", "C#N", "C=O", "CCO", "CC(C)(C)C", "FC(F)(F)F", "N#CC#N", "O=C=O", "OCC(O)C#C"),
    *("c1ccccc1", "c1ccoc1", "c1cc[nH]c1", "Nc1ncccn1", "C1CC1", "C1C2C3C1N23", "C12C3C4C1C5C2C3C45", "CN1C=NC=N1"),
    *("N#CC1CC12CN2CO", "O=C1CNC(=O)CO1", "CC.O"),
)


def without_stereo(smiles: str) -> str:
    return Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)


def bonds_of(num_atoms: int, **orders: int) -> list[int]:
    """bonds_of(3, b01=2) is a double bond between atoms 0 and 1."""
    pairs = list(itertools.combinations(range(num_atoms), 2))
    return [orders.get(f"b{first}{second}", 0) for first, second in pairs]


@pytest.mark.parametrize("smiles", SMILES)
def test_a_molecule_comes_back_from_its_graph(smiles):
    [molecule] = decode(encode(Chem.MolFromSmiles(smiles), num_atoms=NUM_ATOMS))
    assert Chem.MolToSmiles(molecule) == without_stereo(smiles)


def test_molecules_of_qm9_come_back_from_their_graphs(assets):
    smiles = read_smiles(assets("molecules/qm9_smiles.csv"))[::50]
    decoded = decode(encode_smiles(smiles))
    assert [Chem.MolToSmiles(molecule) for molecule in decoded] == [without_stereo(text) for text in smiles]


def test_the_code_of_acetaldehyde_by_hand():
    state = encode(Chem.MolFromSmiles("CC=O"), num_atoms=4)
    assert state.batch_size == (1,)
    assert state["atoms"].tolist() == [[0, 0, 2, 0]]
    assert state["bonds"].tolist() == [bonds_of(4, b01=1, b12=2)]
    assert state["mask"].tolist() == [[True, True, True, False]]


def test_an_aromatic_ring_is_written_with_alternating_bonds():
    state = encode(Chem.MolFromSmiles("c1ccccc1"), num_atoms=6)
    ring = dict(zip(itertools.combinations(range(6), 2), state["bonds"][0].tolist()))
    around = [ring[tuple(sorted((i, (i + 1) % 6)))] for i in range(6)]
    assert around in ([1, 2, 1, 2, 1, 2], [2, 1, 2, 1, 2, 1])
    assert sum(ring.values()) == 9


def test_encoding_leaves_the_molecule_as_it_is():
    molecule = Chem.MolFromSmiles("c1ccccc1")
    encode(molecule, num_atoms=6)
    assert Chem.MolToSmiles(molecule) == "c1ccccc1"


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("CCCC", "expected 1 to 3 heavy atoms, got 4"),
        ("", "expected 1 to 3 heavy atoms, got 0"),
        ("CS", "expected neutral C, N, O, F, got S"),
        ("C[NH3+]", "expected neutral C, N, O, F, got"),
        ("[H][H]", "expected neutral C, N, O, F, got"),
    ],
)
def test_what_the_vocabulary_lacks_is_refused_by_name(smiles, words):
    with pytest.raises(ValueError, match=f"this one: {words}"):
        encode(Chem.MolFromSmiles(smiles), num_atoms=3, name="this one")


def test_what_rdkit_cannot_read_is_refused_by_name():
    with pytest.raises(ValueError, match="C1CC: not a molecule that RDKit can read"):
        encode_smiles(["CC", "C1CC"])


def test_a_carbon_with_five_bonds_is_invalid_and_loses_one_in_repair():
    atoms, bonds, mask = [0] * 6, bonds_of(6, b01=1, b02=1, b03=1, b04=1, b05=1), [True] * 6
    assert build(atoms, bonds, mask) is None
    assert Chem.MolToSmiles(build(atoms, bonds, mask, correct=True)) == "CC(C)(C)C"


def test_repair_lowers_the_strongest_bond_first():
    # C with two double bonds and a single one: five. The first double bond becomes single, and nothing is cut off.
    atoms, bonds, mask = [0, 2, 2, 0], bonds_of(4, b01=2, b02=2, b03=1), [True] * 4
    assert build(atoms, bonds, mask) is None
    assert Chem.MolToSmiles(build(atoms, bonds, mask, correct=True)) == "CC(=O)O"


def test_repair_keeps_the_largest_piece_and_decoding_as_it_comes_keeps_all():
    state = encode(Chem.MolFromSmiles("O.CCO.N"), num_atoms=6)
    assert [Chem.MolToSmiles(molecule) for molecule in decode(state)] == ["CCO.N.O"]
    assert [Chem.MolToSmiles(molecule) for molecule in decode(state, correct=True)] == ["CCO"]


def test_the_largest_piece_counts_heavy_atoms():
    piece = largest_piece(Chem.MolFromSmiles("CC.F[N]F.O"))
    assert Chem.MolToSmiles(piece) == "F[N]F"


@pytest.mark.parametrize("correct", [False, True])
def test_a_graph_without_atoms_is_no_molecule(correct):
    assert build([0, 0], [1], [False, False], correct=correct) is None


def test_places_of_atoms_that_do_not_exist_are_not_read():
    assert Chem.MolToSmiles(build([3, 0, 2], [1, 1, 2], [False, True, True])) == "C=O"


def test_a_batch_keeps_its_order_with_none_for_the_invalid():
    state = torch.cat([encode(Chem.MolFromSmiles(smiles), num_atoms=3) for smiles in ("CO", "CF", "O=C=O")])
    state["bonds"][1, 0] = 2
    decoded = decode(state)
    assert decoded[1] is None
    assert [Chem.MolToSmiles(molecule) for molecule in (decoded[0], decoded[2])] == ["CO", "O=C=O"]


def test_repair_gives_a_connected_molecule_always_and_changes_no_good_one():
    generator = seeded("cpu", 1)
    size, count = 6, 300
    atoms = torch.randint(len(ATOMS), (count, size), generator=generator)
    kinds = torch.tensor([0.7, 0.2, 0.07, 0.03]).expand(count * num_pairs(size), -1)
    bonds = torch.multinomial(kinds, 1, generator=generator).view(count, -1)
    state = graph_state(atoms, bonds, torch.ones(count, size, dtype=torch.bool))
    good = 0
    for plain, repaired in zip(decode(state), decode(state, correct=True)):
        assert repaired is not None
        assert len(Chem.GetMolFrags(repaired)) == 1
        if plain is not None and len(Chem.GetMolFrags(plain)) == 1:
            good += 1
            assert Chem.MolToSmiles(plain) == Chem.MolToSmiles(repaired)
    assert 0 < good < count


@pytest.mark.parametrize(
    ("molecule", "words"),
    [
        (Chem.MolFromSmiles("[13CH4]"), "m: expected no isotopes and no radicals, got"),
        (Chem.MolFromSmiles("[CH3]"), "m: expected no isotopes and no radicals, got"),
        (Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False), "m: not a molecule that RDKit can sanitise"),
        (Chem.Mol(), "m: expected 1 to 9 heavy atoms, got 0"),
    ],
)
def test_what_a_graph_would_lose_is_refused(molecule, words):
    with pytest.raises(ValueError, match=words):
        encode(molecule, 9, name="m")


def test_a_molecule_that_was_not_sanitised_is_encoded_as_it_would_be():
    raw = Chem.MolFromSmiles("c1ccccc1", sanitize=False)
    assert (encode(raw, 9) == encode(Chem.MolFromSmiles("c1ccccc1"), 9)).all()


def test_hydrogens_as_atoms_change_nothing():
    smiles = ["CC(=O)Nc1ccco1", "C", "O"]
    plain = [Chem.MolFromSmiles(text) for text in smiles]
    for molecule in plain:
        written = Chem.AddHs(molecule)
        assert (encode(written, 9) == encode(molecule, 9)).all()
        assert Chem.MolToSmiles(sanitised(written)) == Chem.MolToSmiles(molecule)
    mixture = Chem.AddHs(Chem.MolFromSmiles("CCCCC.c1ccccc1"))  # 17 atoms and 12, 5 of them heavy and 6
    assert Chem.MolToSmiles(largest_piece(sanitised(mixture))) == "c1ccccc1"
    assert sanitised(Chem.MolFromSmiles("[2H]C")).GetNumAtoms() == 2  # an isotope stays
