"""Between molecules and the canonical SMILES by which their scores are known."""

from rdkit import Chem

from svlearn.domains.molecules.codec import largest_piece


def smiles_of(molecule: Chem.Mol) -> str:
    """The largest connected piece of a molecule as canonical SMILES."""
    return Chem.MolToSmiles(largest_piece(molecule))


def molecule_of(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES; raises ValueError where RDKit does not read it."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"RDKit does not read the SMILES {smiles}")
    return molecule
