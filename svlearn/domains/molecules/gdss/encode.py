"""From RDKit molecules to finished states of GDSS: what `decode` reads back."""

from collections.abc import Sequence

import torch
from rdkit import Chem
from tensordict import TensorDict

from svlearn.domains.molecules.gdss.decode import SYMBOLS
from svlearn.domains.molecules.gdss.state import continuous_state

ORDERS = {Chem.BondType.SINGLE: 1.0, Chem.BondType.DOUBLE: 2.0, Chem.BondType.TRIPLE: 3.0}


def encode(molecules: Sequence[Chem.Mol], num_nodes: int, num_features: int = len(SYMBOLS)) -> TensorDict:
    """The finished states (B,) of molecules: one-hots of the atoms' kinds, and bond orders, kekulised; no charges.

    Raises ValueError, naming the molecule, for one of no or more than num_nodes heavy atoms, or with another atom than
    the first num_features of `SYMBOLS`.
    """
    x, adj = torch.zeros(len(molecules), num_nodes, num_features), torch.zeros(len(molecules), num_nodes, num_nodes)
    mask = torch.zeros(len(molecules), num_nodes, dtype=torch.bool)
    known = {symbol: kind for kind, symbol in enumerate(SYMBOLS[:num_features])}
    for row, molecule in enumerate(molecules):
        size = molecule.GetNumAtoms()
        if not 1 <= size <= num_nodes:
            raise ValueError(f"molecules[{row}]: expected 1 to {num_nodes} heavy atoms, got {size}")
        molecule = Chem.Mol(molecule)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        for atom in molecule.GetAtoms():
            if atom.GetSymbol() not in known:
                raise ValueError(f"molecules[{row}]: expected atoms of {', '.join(known)}, got {atom.GetSymbol()}")
            x[row, atom.GetIdx(), known[atom.GetSymbol()]] = 1.0
        for bond in molecule.GetBonds():
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            adj[row, i, j] = adj[row, j, i] = ORDERS[bond.GetBondType()]
        mask[row, :size] = True
    return continuous_state(x, adj, mask)
