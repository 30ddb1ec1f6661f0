"""Figures of a set of generated molecules.

A molecule is invalid that is None, has no atoms, or that RDKit does not sanitise (a carbon with five neighbours); one
that only was not sanitised yet counts as it would be.

Of a reference's `decode(states)` the validity is the one without correction, of `decode(states, correct=True)` the
one with; `distribution_metrics` has the distances to a set of known molecules. A figure over molecules of which there
are none (the uniqueness of no valid molecule) is NaN.
"""

import math
from collections.abc import Container, Sequence

from rdkit import Chem, DataStructs
from rdkit.Chem.Scaffolds import MurckoScaffold

from svlearn.arguments import each_of
from svlearn.domains.molecules.codec import sanitised
from svlearn.domains.molecules.rewards import fingerprint

Molecules = Sequence[Chem.Mol | None]


def validity(molecules: Molecules) -> float:
    """The fraction that is valid, in [0, 1]."""
    return _ratio(len(valid(molecules)), len(molecules))


def connected_validity(molecules: Molecules) -> float:
    """The fraction that is valid and in one piece, in [0, 1]."""
    return _ratio(_connected(valid(molecules)), len(molecules))


def uniqueness(molecules: Molecules) -> float:
    """Distinct canonical SMILES per valid molecule, in (0, 1]."""
    return _uniqueness(valid(molecules))


def novelty(molecules: Molecules, known: Container[str]) -> float:
    """The fraction of the distinct valid molecules that is not among `known`, canonical SMILES of RDKit.

    Raises TypeError where `known` is one text, of which every piece would count as known.
    """
    if isinstance(known, (str, bytes)):
        raise TypeError(f"known: expected a set of SMILES, got one {type(known).__name__}")
    smiles = {Chem.MolToSmiles(molecule) for molecule in valid(molecules)}
    return _ratio(sum(text not in known for text in smiles), len(smiles))


def internal_diversity(molecules: Molecules) -> float:
    """Mean Tanimoto distance of all pairs i < j of valid molecules, in [0, 1]; NaN for fewer than two.

    1 - |a ∩ b| / |a ∪ b| of Morgan fingerprints, radius 2, 2048 bits. Source: IntDiv of MOSES (arXiv 1811.12823),
    which counts the pairs i = j too.
    """
    return _diversity(valid(molecules))


def num_scaffolds(molecules: Molecules) -> int:
    """How many distinct Bemis-Murcko scaffolds (the rings and what links them); molecules without rings have none."""
    return len(set(_scaffolds(molecules)))


def scaffold_diversity(molecules: Molecules) -> float:
    """Distinct Bemis-Murcko scaffolds per valid molecule that has rings, in (0, 1]."""
    scaffolds = _scaffolds(molecules)
    return _ratio(len(set(scaffolds)), len(scaffolds))


def describe(molecules: Molecules) -> dict[str, float]:
    """The figures that a comparison lists beside the reward: validity, connected, uniqueness, diversity."""
    valid_molecules = valid(molecules)
    return {
        "validity": _ratio(len(valid_molecules), len(molecules)),
        "connected": _ratio(_connected(valid_molecules), len(molecules)),
        "uniqueness": _uniqueness(valid_molecules),
        "diversity": _diversity(valid_molecules),
    }


def valid(molecules: Molecules, name: str = "molecules") -> list[Chem.Mol]:
    """The valid ones, sanitised; TypeError for one molecule instead of a list, and for what is none."""
    sanitised_molecules = map(sanitised, each_of(molecules, Chem.Mol, name))
    return [molecule for molecule in sanitised_molecules if molecule is not None]


def _connected(molecules: Sequence[Chem.Mol]) -> int:
    return sum(len(Chem.GetMolFrags(molecule)) == 1 for molecule in molecules)


def _uniqueness(molecules: Sequence[Chem.Mol]) -> float:
    smiles = [Chem.MolToSmiles(molecule) for molecule in molecules]
    return _ratio(len(set(smiles)), len(smiles))


def _diversity(molecules: Sequence[Chem.Mol]) -> float:
    prints = [fingerprint(molecule) for molecule in molecules]
    similarity = math.fsum(sum(DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])) for i in range(len(prints)))
    return 1.0 - _ratio(similarity, math.comb(len(prints), 2))


def _scaffolds(molecules: Molecules) -> list[str]:
    scaffolds = [Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule)) for molecule in valid(molecules)]
    return [scaffold for scaffold in scaffolds if scaffold]


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
