"""From states to molecules: by hand, against RDKit's own valence checks, and back from real molecules."""

import gzip

import pytest
import torch
from rdkit import Chem, rdBase

from svlearn.domains.molecules.codec import BOND_TYPES, largest_piece
from svlearn.domains.molecules.gdss.decode import SYMBOLS, GDSSCodec, decode, molecule_of, quantise, rows_of
from svlearn.domains.molecules.gdss.state import continuous_state
from svlearn.domains.molecules.rewards import QED

C, N, O_, S = (SYMBOLS.index(symbol) for symbol in ("C", "N", "O", "S"))


def graph(atoms, orders, nodes=None, kinds=9):
    """The finished state (1,) of kinds of atoms and bonds {(i, j): order}."""
    nodes = len(atoms) if nodes is None else nodes
    x, adj = torch.zeros(1, nodes, kinds), torch.zeros(1, nodes, nodes)
    for place, kind in enumerate(atoms):
        x[0, place, kind] = 1.0
    for (i, j), order in orders.items():
        adj[0, i, j] = adj[0, j, i] = order
    return continuous_state(x, adj, (torch.arange(nodes) < len(atoms))[None])


def smiles(state, correct=False):
    (molecule,) = decode(state, correct)
    return None if molecule is None else Chem.MolToSmiles(molecule)


def test_thresholds_are_the_authors():
    x = torch.tensor([[[0.5, 0.51, 0.9], [0.4, 0.5, 0.1], [0.0, 0.0, 1.2], [1.0, 0.0, 0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    edges = torch.zeros(1, 4, 4)
    atoms, _ = quantise(continuous_state(x, edges, mask))
    assert atoms.tolist() == [[1, -1, 2, -1]]  # the first above 0.5; none above it; above it; does not exist
    values = [-1.0, 0.49999997, 0.5, 1.4999999, 1.5, 2.4999998, 2.5, 9.0]
    for value, order in zip(values, [0, 0, 1, 1, 2, 2, 3, 3]):
        state = graph([C, C], {(0, 1): value})
        assert quantise(state)[1].tolist() == [[order]]
    no_atom = continuous_state(x[:, :2], torch.ones(1, 2, 2), mask[:, :2])
    assert quantise(no_atom)[1].tolist() == [[0]]  # a bond with no atom at its end


@pytest.mark.parametrize(
    ("atoms", "orders", "plain", "corrected"),
    [
        ([C, C, O_], {(0, 1): 1, (1, 2): 1}, "CCO", "CCO"),
        ([N, C, C, C, C], {(0, k): 1 for k in range(1, 5)}, "C[N+](C)(C)C", "C[N+](C)(C)C"),
        ([O_, C, C, C], {(0, k): 1 for k in range(1, 4)}, "C[O+](C)C", "C[O+](C)C"),
        ([N, C, C, C, C, C], {(0, k): 1 for k in range(1, 6)}, None, "C[N+](C)(C)C"),  # charged at four, one lost
        ([C, C, C], {(0, 1): 3, (0, 2): 2}, None, "C=C=C"),  # five bonds: the triple one gives way
        ([C, O_], {(0, 1): 3}, "C#[O+]", "C#[O+]"),  # no [O-] is made, but O with three bonds is charged
        ([S, O_, O_, C, C], {(0, 1): 2, (0, 2): 2, (0, 3): 1, (0, 4): 1}, "CS(C)(=O)=O", "CS(C)(=O)=O"),
        ([C, C, O_, C], {(0, 1): 1, (2, 3): 1}, "CC.CO", None),
        ([], {}, None, None),
    ],
)
def test_molecules_by_hand(atoms, orders, plain, corrected):
    state = graph(atoms, orders, nodes=6)
    assert smiles(state) == plain
    if corrected is not None:
        assert smiles(state, correct=True) == corrected
    elif plain is not None:
        assert Chem.MolFromSmiles(smiles(state, correct=True)).GetNumAtoms() == 2  # one of the pieces


def checked_by_rdkit(atoms, orders, correct):
    """The same algorithm with RDKit asked for the first atom over its valence, after every bond."""

    def over(molecule):
        try:
            Chem.SanitizeMol(molecule, sanitizeOps=Chem.SanitizeFlags.SANITIZE_PROPERTIES)
        except Chem.AtomValenceException as error:
            return molecule.GetAtomWithIdx(error.cause.GetAtomIdx())
        return None

    molecule = Chem.RWMol()
    for kind in atoms:
        molecule.AddAtom(Chem.Atom(SYMBOLS[kind]))
    for i in range(len(atoms)):
        for j in range(i):
            if not orders.get((i, j)):
                continue
            molecule.AddBond(i, j, BOND_TYPES[orders[i, j]])
            atom = over(molecule)
            if atom is None:
                continue
            bonds = sum(int(bond.GetBondType()) for bond in atom.GetBonds())
            if bonds - {"N": 3, "O": 2, "S": 2}.get(atom.GetSymbol(), bonds) == 1:
                atom.SetFormalCharge(1)
    while correct and (atom := over(molecule)) is not None:
        strongest = max(atom.GetBonds(), key=lambda bond: int(bond.GetBondType()))
        ends, order = (strongest.GetBeginAtomIdx(), strongest.GetEndAtomIdx()), int(strongest.GetBondType())
        molecule.RemoveBond(*ends)
        if order > 1:
            molecule.AddBond(*ends, BOND_TYPES[order - 1])
    if over(molecule) is not None:
        return None
    Chem.SanitizeMol(molecule)
    return largest_piece(molecule) if correct else molecule


@pytest.mark.parametrize("density", [0.15, 0.3, 0.6])
def test_random_graphs_are_repaired_as_rdkit_sees_them(density):
    """Every valence, charge and bond order, on 150 random graphs of all nine atoms."""
    generator = torch.Generator().manual_seed(int(100 * density))
    agreed = {True: 0, False: 0}
    for _ in range(150):
        size = int(torch.randint(2, 12, (), generator=generator))
        atoms = torch.randint(0, 9, (size,), generator=generator).tolist()
        drawn = torch.rand(size, size, generator=generator) < density
        orders = {
            (i, j): int(torch.randint(1, 4, (), generator=generator))
            for i in range(size)
            for j in range(i)
            if drawn[i, j]
        }
        (row,) = rows_of(graph(atoms, orders))
        for correct in (True, False):
            with rdBase.BlockLogs():
                expected = checked_by_rdkit(atoms, orders, correct)
            molecule = molecule_of(row, correct)
            texts = [None if each is None else Chem.MolToSmiles(each) for each in (molecule, expected)]
            assert texts[0] == texts[1]
            agreed[correct] += molecule is not None
    assert agreed[True] == 150 and agreed[False] > 5


def test_real_molecules_come_back(assets):
    """Encoded as the authors do, Kekulé bonds and one-hot atoms, and blurred below the thresholds."""
    generator = torch.Generator().manual_seed(0)
    with gzip.open(assets("molecules/zinc250k_smiles.txt.gz"), "rt") as file:
        texts = [line.strip() for line, _ in zip(file, range(200))]
    molecules = [Chem.MolFromSmiles(text) for text in texts]
    neutral = [each for each in molecules if all(atom.GetFormalCharge() == 0 for atom in each.GetAtoms())]
    assert len(neutral) > 120
    for molecule in neutral:
        Chem.RemoveStereochemistry(molecule)
        expected = Chem.MolToSmiles(molecule)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        atoms = [SYMBOLS.index(atom.GetSymbol()) for atom in molecule.GetAtoms()]
        bonds = {(b.GetBeginAtomIdx(), b.GetEndAtomIdx()): int(b.GetBondType()) for b in molecule.GetBonds()}
        state = graph(atoms, bonds, nodes=38)
        noise = 0.45 * (2 * torch.rand(38, 38, generator=generator) - 1)
        state["adj"] = state["adj"] + (noise.triu(1) + noise.triu(1).T)
        assert smiles(state) == smiles(state, correct=True) == expected


def test_rewards_read_the_states_through_the_codec():
    states = torch.cat(
        [graph([C, C, O_], {(0, 1): 1, (1, 2): 1}, nodes=6), graph([C, C, C], {(0, 1): 3, (0, 2): 2}, nodes=6)]
    )
    repaired = QED(correct=True, codec=GDSSCodec(), num_workers=1)
    plain = QED(codec=GDSSCodec(), num_workers=1)
    expected = repaired.of_smiles(["CCO", "C=C=C"])
    torch.testing.assert_close(repaired(states), expected)
    torch.testing.assert_close(plain(states), expected * torch.tensor([1.0, 0.0]))
    for reward in (plain, repaired):
        reward.scorer.close()
