"""Between graph states and RDKit molecules, with and without valency correction."""

import itertools
from collections.abc import Mapping, Sequence

import torch
from rdkit import Chem, rdBase
from tensordict import TensorDict

from svlearn.domains.molecules.graph import ATOMS, VALENCES, graph_state, pair_indices

NO_BOND = Chem.BondType.ZERO
BOND_TYPES = (NO_BOND, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


def encode(molecule: Chem.Mol | None, num_atoms: int, name: str = "molecule") -> TensorDict:
    """One molecule as a finished graph state, batch size (1,), its bonds kekulised.

    A state is a constitution: stereochemistry is left out. Raises ValueError where it is not a molecule, has more than
    `num_atoms` heavy atoms, or an atom, a charge, an isotope, a radical or a bond outside the vocabulary.
    """
    if molecule is None:
        raise ValueError(f"{name}: not a molecule that RDKit can read")
    original, molecule = molecule, sanitised(molecule)
    size = (original if molecule is None else molecule).GetNumAtoms()
    if not 1 <= size <= num_atoms:
        raise ValueError(f"{name}: expected 1 to {num_atoms} heavy atoms, got {size}")
    if molecule is None:
        raise ValueError(f"{name}: not a molecule that RDKit can sanitise")
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    atoms = torch.zeros(1, num_atoms, dtype=torch.long)
    matrix = torch.zeros(num_atoms, num_atoms, dtype=torch.long)
    for atom in molecule.GetAtoms():
        if atom.GetSymbol() not in ATOMS or atom.GetFormalCharge() != 0:
            raise ValueError(f"{name}: expected neutral {', '.join(ATOMS)}, got {atom.GetSmarts()}")
        if atom.GetIsotope() or atom.GetNumRadicalElectrons():
            raise ValueError(f"{name}: expected no isotopes and no radicals, got {atom.GetSmarts()}")
        atoms[0, atom.GetIdx()] = ATOMS.index(atom.GetSymbol())
    for bond in molecule.GetBonds():
        if bond.GetBondType() not in BOND_TYPES[1:]:
            raise ValueError(f"{name}: expected single, double or triple bonds, got {bond.GetBondType()}")
        matrix[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] = BOND_TYPES.index(bond.GetBondType())
    first, second = pair_indices(num_atoms)
    bonds = torch.maximum(matrix, matrix.T)[first, second]
    return graph_state(atoms, bonds.unsqueeze(0), (torch.arange(num_atoms) < size).unsqueeze(0))


def build(atoms: list[int], bonds: list[int], mask: list[bool], correct: bool = False) -> Chem.Mol | None:
    """The RDKit molecule of one finished graph, or None where it cannot be sanitised (or has no atom).

    correct: repair first. Bonds of an atom over its valence lose order, the highest first, until every atom fits;
    then the largest connected piece is kept (the repair of GDSS, arXiv 2202.02514, without its charges).
    """
    real = [place for place, exists in enumerate(mask) if exists]
    if not real:
        return None
    pairs = zip(itertools.combinations(range(len(atoms)), 2), bonds)
    orders = {(i, j): order for (i, j), order in pairs if order and mask[i] and mask[j]}
    if correct:
        orders = _within_valence(atoms, orders)
    index = {place: number for number, place in enumerate(real)}
    molecule = assemble(
        [ATOMS[atoms[place]] for place in real], {(index[i], index[j]): order for (i, j), order in orders.items()}
    )
    if molecule is None:
        return None
    return largest_piece(molecule) if correct else molecule


def assemble(
    symbols: Sequence[str], orders: Mapping[tuple[int, int], int], charges: Mapping[int, int] | None = None
) -> Chem.Mol | None:
    """The RDKit molecule of atoms, bonds {(i, j): order} and formal charges {i: charge}; None if not sanitised."""
    editable = Chem.RWMol()
    for symbol in symbols:
        editable.AddAtom(Chem.Atom(symbol))
    for place, charge in ({} if charges is None else charges).items():
        editable.GetAtomWithIdx(place).SetFormalCharge(charge)
    for (i, j), order in orders.items():
        editable.AddBond(i, j, BOND_TYPES[order])
    molecule = editable.GetMol()
    with rdBase.BlockLogs():  # an invalid graph is an answer and no news
        if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
    return molecule


def decode(state: TensorDict, correct: bool = False) -> list[Chem.Mol | None]:
    """RDKit molecules of a batch of finished states (B,); None where a graph is not a valid molecule."""
    rows = zip(state["atoms"].tolist(), state["bonds"].tolist(), state["mask"].tolist())
    return [build(*row, correct=correct) for row in rows]


def sanitised(molecule: Chem.Mol | None) -> Chem.Mol | None:
    """A copy as RDKit reads it from a SMILES, with the hydrogens inside the heavy atoms; None for None, without atoms,
    and where its valences are wrong."""
    if molecule is None or molecule.GetNumAtoms() == 0:
        return None
    molecule = Chem.Mol(molecule)
    with rdBase.BlockLogs():
        if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
        if any(atom.GetAtomicNum() == 1 for atom in molecule.GetAtoms()):
            molecule = Chem.RemoveHs(molecule)  # which leaves isotopes and H2
    return molecule


def largest_piece(molecule: Chem.Mol) -> Chem.Mol:
    """The connected piece with the most heavy atoms; of equals, the last by canonical SMILES."""
    pieces = Chem.GetMolFrags(molecule, asMols=True)
    if len(pieces) == 1:
        return molecule
    return max(pieces, key=lambda piece: (piece.GetNumAtoms(), Chem.MolToSmiles(piece)))


def _within_valence(atoms: list[int], orders: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    orders = dict(orders)
    for place, atom in enumerate(atoms):
        while True:
            own = {pair: order for pair, order in orders.items() if place in pair}
            if sum(own.values()) <= VALENCES[atom]:
                break
            strongest = max(own, key=lambda pair: own[pair])
            orders[strongest] -= 1
            if orders[strongest] == 0:
                del orders[strongest]
    return orders
