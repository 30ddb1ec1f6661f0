"""Figures of a set of generated molecules; a molecule that is None is an invalid one.

Of a reference's `decode(states)` the validity is the one without correction, of `decode(states, correct=True)` the
one with; `distribution_metrics` has the distances to a set of known molecules. A figure over molecules of which there
are none (the uniqueness of no valid molecule) is NaN.
"""

import math
from collections.abc import Container, Sequence

from rdkit import Chem, DataStructs
from rdkit.Chem.Scaffolds import MurckoScaffold

from svlearn.domains.molecules.rewards import fingerprint

Molecules = Sequence[Chem.Mol | None]


def validity(molecules: Molecules) -> float:
    """The fraction that is valid, in [0, 1]."""
    return _ratio(len(_valid(molecules)), len(molecules))


def connected_validity(molecules: Molecules) -> float:
    """The fraction that is valid and in one piece, in [0, 1]."""
    return _ratio(sum(len(Chem.GetMolFrags(molecule)) == 1 for molecule in _valid(molecules)), len(molecules))


def uniqueness(molecules: Molecules) -> float:
    """Distinct canonical SMILES per valid molecule, in (0, 1]."""
    smiles = [Chem.MolToSmiles(molecule) for molecule in _valid(molecules)]
    return _ratio(len(set(smiles)), len(smiles))


def novelty(molecules: Molecules, known: Container[str]) -> float:
    """The fraction of the distinct valid molecules that is not among `known`, canonical SMILES of RDKit."""
    smiles = {Chem.MolToSmiles(molecule) for molecule in _valid(molecules)}
    return _ratio(sum(text not in known for text in smiles), len(smiles))


def internal_diversity(molecules: Molecules) -> float:
    """Mean Tanimoto distance of all pairs i < j of valid molecules, in [0, 1]; NaN for fewer than two.

    1 - |a ∩ b| / |a ∪ b| of Morgan fingerprints, radius 2, 2048 bits. Source: IntDiv of MOSES (arXiv 1811.12823),
    which counts the pairs i = j too.
    """
    prints = [fingerprint(molecule) for molecule in _valid(molecules)]
    similarity = math.fsum(sum(DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])) for i in range(len(prints)))
    return 1.0 - _ratio(similarity, math.comb(len(prints), 2))


def num_scaffolds(molecules: Molecules) -> int:
    """How many distinct Bemis-Murcko scaffolds (the rings and what links them); molecules without rings have none."""
    return len(set(_scaffolds(molecules)))


def scaffold_diversity(molecules: Molecules) -> float:
    """Distinct Bemis-Murcko scaffolds per valid molecule that has rings, in (0, 1]."""
    scaffolds = _scaffolds(molecules)
    return _ratio(len(set(scaffolds)), len(scaffolds))


def describe(molecules: Molecules) -> dict[str, float]:
    """The figures that a comparison lists beside the reward: validity, connected, uniqueness, diversity."""
    return {
        "validity": validity(molecules),
        "connected": connected_validity(molecules),
        "uniqueness": uniqueness(molecules),
        "diversity": internal_diversity(molecules),
    }


def _scaffolds(molecules: Molecules) -> list[str]:
    scaffolds = [Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule)) for molecule in _valid(molecules)]
    return [scaffold for scaffold in scaffolds if scaffold]


def _valid(molecules: Molecules) -> list[Chem.Mol]:
    return [molecule for molecule in molecules if molecule is not None]


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
