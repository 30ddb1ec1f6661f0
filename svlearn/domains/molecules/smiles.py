"""Between molecules and the canonical SMILES by which their scores are known; it runs in the workers."""

from collections.abc import Callable

from rdkit import Chem

from svlearn.domains.molecules.codec import largest_piece
from svlearn.domains.molecules.graph_codec import Codec


def smiles_of(molecule: Chem.Mol) -> str:
    """The largest connected piece of a molecule as canonical SMILES."""
    return Chem.MolToSmiles(largest_piece(molecule))


def smiles_of_key(key: bytes, codec: Codec, correct: bool) -> str | None:
    """What is scored of a quantised graph, as canonical SMILES; None where there is no molecule."""
    molecule = codec.build(key, correct)
    return None if molecule is None else smiles_of(molecule)


def score_smiles(smiles: str, function: Callable[[Chem.Mol], float]) -> float:
    """function of the molecule that a SMILES describes."""
    return float(function(molecule_of(smiles)))


def molecule_of(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES; raises ValueError where RDKit does not read it."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"RDKit does not read the SMILES {smiles}")
    return molecule
