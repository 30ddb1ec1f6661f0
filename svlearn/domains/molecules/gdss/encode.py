"""From RDKit molecules to finished states of GDSS: what `decode` reads back."""

import logging
from collections import Counter
from collections.abc import Sequence

import torch
from rdkit import Chem
from tensordict import TensorDict

from svlearn.arguments import each_of
from svlearn.domains.molecules.codec import sanitised
from svlearn.domains.molecules.gdss.decode import SYMBOLS, decode
from svlearn.domains.molecules.gdss.state import continuous_state

ORDERS = {Chem.BondType.SINGLE: 1.0, Chem.BondType.DOUBLE: 2.0, Chem.BondType.TRIPLE: 3.0}
LOSSES = ("refuse", "count")

logger = logging.getLogger(__name__)


def encode(
    molecules: Sequence[Chem.Mol], num_nodes: int, num_features: int = len(SYMBOLS), *, losses: str = "refuse"
) -> TensorDict:
    """The finished states (B,) of molecules: one-hots of the atoms' kinds, and bond orders, kekulised.

    A state is a constitution: it holds no stereochemistry, of no molecule. It has no charges, isotopes or radicals
    either: `decode` charges N with four bonds and O with three, and gives every other atom the hydrogens that its
    valence wants, so that a nitro group comes back as N+ with OH. losses: "refuse" such a molecule, or "count": encode
    it without what is lost, and log how many lose what (a third of ZINC-250k has formal charges; the authors train on
    all of it so).
    Raises ValueError, naming the molecule, for one of no or more than num_nodes heavy atoms, with another atom than
    the first num_features of `SYMBOLS`, with a bond that is not single, double, triple or aromatic, and for what RDKit
    does not sanitise; TypeError for one molecule instead of a list.
    """
    if losses not in LOSSES:
        raise ValueError(f"losses: expected one of {', '.join(LOSSES)}, got {losses!r}")
    molecules = each_of(molecules, Chem.Mol, "molecules")
    sanitised_molecules = [sanitised(molecule) for molecule in molecules]
    x, adj = torch.zeros(len(molecules), num_nodes, num_features), torch.zeros(len(molecules), num_nodes, num_nodes)
    mask = torch.zeros(len(molecules), num_nodes, dtype=torch.bool)
    known = {symbol: kind for kind, symbol in enumerate(SYMBOLS[:num_features])}
    for row, (original, molecule) in enumerate(zip(molecules, sanitised_molecules)):
        counted = original if molecule is None else molecule
        size = 0 if counted is None else counted.GetNumAtoms()
        if not 1 <= size <= num_nodes:
            raise ValueError(f"molecules[{row}]: expected 1 to {num_nodes} heavy atoms, got {size}")
        if molecule is None:
            raise ValueError(f"molecules[{row}]: expected one that RDKit sanitises, got another")
        molecule = Chem.Mol(molecule)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
        for atom in molecule.GetAtoms():
            if atom.GetSymbol() not in known:
                raise ValueError(f"molecules[{row}]: expected atoms of {', '.join(known)}, got {atom.GetSymbol()}")
            x[row, atom.GetIdx(), known[atom.GetSymbol()]] = 1.0
        for bond in molecule.GetBonds():
            if bond.GetBondType() not in ORDERS:
                raise ValueError(f"molecules[{row}]: expected bonds of order 1 to 3, got {bond.GetBondType()}")
            i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            adj[row, i, j] = adj[row, j, i] = ORDERS[bond.GetBondType()]
        mask[row, :size] = True
    states = continuous_state(x, adj, mask)
    _report_losses([molecule for molecule in sanitised_molecules if molecule is not None], states, losses)
    return states


def _report_losses(molecules: Sequence[Chem.Mol], states: TensorDict, losses: str) -> None:
    """Compare each molecule with what `decode` makes of its state."""
    counts: Counter[str] = Counter()
    for row, (molecule, back) in enumerate(zip(molecules, decode(states))):
        isotopes = any(atom.GetIsotope() for atom in molecule.GetAtoms())
        if back is not None and not isotopes and _constitution(back) == _constitution(molecule):
            continue
        lost = _losses_of(molecule)
        if losses == "refuse":
            raise ValueError(
                f"molecules[{row}]: expected one that a state of GDSS holds, got {Chem.MolToSmiles(molecule)}, which "
                f"would lose its {' and '.join(lost)}; give losses='count' to encode it without"
            )
        counts.update(lost)
    if counts:
        text = ", ".join(f"{count} {name}" for name, count in counts.items())
        logger.warning("of %d molecules, states of GDSS lose what they do not hold: %s", len(molecules), text)


def _constitution(molecule: Chem.Mol) -> str:
    """Canonical SMILES without stereochemistry, isotopes and the numbers of atom maps."""
    plain = Chem.Mol(molecule)
    Chem.SanitizeMol(plain)
    for atom in plain.GetAtoms():
        atom.SetAtomMapNum(0)
    return Chem.MolToSmiles(plain, isomericSmiles=False)


def _losses_of(molecule: Chem.Mol) -> list[str]:
    molecule = Chem.Mol(molecule)
    Chem.SanitizeMol(molecule)  # which tells the radicals
    atoms = list(molecule.GetAtoms())
    losses = {
        "formal charges": any(atom.GetFormalCharge() for atom in atoms),
        "isotopes": any(atom.GetIsotope() for atom in atoms),
        "radicals": any(atom.GetNumRadicalElectrons() for atom in atoms),
    }
    return [name for name, has in losses.items() if has] or ["hydrogens"]
