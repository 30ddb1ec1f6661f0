"""How far a set of molecules is from another: Fréchet ChemNet distance, and the graph kernel's mean discrepancy.

They need the extra `metrics` (fcd and eden-kernel). Invalid molecules, as `metrics` tells them, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from rdkit import Chem

from svlearn.domains.molecules.metrics import valid

COMPLEXITY = 4  # of the NSPDK kernel, as GDSS has it


@dataclass(frozen=True)
class Activations:
    """Mean (d,) and covariance (d, d) of ChemNet's activations over a set of molecules, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def chemnet_activations(molecules: Sequence[Chem.Mol | None]) -> Activations:
    """Of the valid molecules, d = 512; compute those of a large known set once. About 100 molecules a second.

    Raises ValueError for fewer than two, ImportError where fcd is not installed.
    """
    fcd = _needs("fcd", "fcd")
    smiles = [Chem.MolToSmiles(molecule) for molecule in valid(molecules)]
    if len(smiles) < 2:
        raise ValueError(f"molecules: expected at least two valid ones, got {len(smiles)}")
    rows = np.asarray(fcd.get_predictions(fcd.load_ref_model(), smiles, n_jobs=0, device="cpu"), dtype=np.float64)
    return Activations(rows.mean(axis=0), np.cov(rows, rowvar=False))


def frechet_distance(first: Activations, second: Activations) -> float:
    """|m - m'|² + tr(C + C' - 2 (C^½ C' C^½)^½), the squared 2-Wasserstein distance of two Gaussians.

    The last trace is the sum of the singular values of C^½ C'^½, which is exact to rounding where a covariance has no
    full rank (a set of fewer molecules than activations).
    """
    roots = [_root(each.covariance) for each in (first, second)]
    shared = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    gap = np.square(first.mean - second.mean).sum()
    return float(gap + np.trace(first.covariance) + np.trace(second.covariance) - 2 * shared)


def frechet_chemnet_distance(molecules: Sequence[Chem.Mol | None], known: Activations) -> float:
    """FCD of molecules to a known set, `chemnet_activations(known molecules)`; 0 for the same law.

    It is biased upwards for few molecules: compare sets of one size, 10,000 in GDSS (arXiv 2202.02514).
    Source: Preuer et al., Journal of Chemical Information and Modeling 58, 1736 (2018).
    """
    return frechet_distance(chemnet_activations(molecules), known)


def nspdk_mmd(molecules: Sequence[Chem.Mol | None], known: Sequence[Chem.Mol | None]) -> float:
    """|mean of φ over molecules - mean of φ over known|², φ the features of the graph kernel NSPDK, of length 1.

    The squared maximum mean discrepancy, pairs of a molecule with itself included, as GDSS has it (arXiv 2202.02514):
    nodes are labelled by their element, edges by their order, 1 where aromatic.
    Raises ValueError where one of the sets has no valid molecule, ImportError where eden-kernel is not installed.
    """
    vectorize = _needs("eden.graph", "eden-kernel").vectorize
    graphs = _needs("networkx", "networkx")
    means = []
    for name, some in (("molecules", molecules), ("known", known)):
        drawn = [_graph(molecule, graphs) for molecule in valid(some, name)]
        if not drawn:
            raise ValueError(f"{name}: expected at least one valid molecule, got none of {len(some)}")
        means.append(vectorize(drawn, complexity=COMPLEXITY, discrete=True).mean(axis=0))
    return float(np.square(np.asarray(means[0] - means[1])).sum())


def _root(covariance: np.ndarray) -> np.ndarray:
    variances, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(variances.clip(min=0))) @ axes.T


def _graph(molecule: Chem.Mol, graphs: ModuleType) -> Any:
    graph = graphs.Graph()
    for atom in molecule.GetAtoms():
        graph.add_node(atom.GetIdx(), label=atom.GetSymbol())
    for bond in molecule.GetBonds():
        graph.add_edge(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), label=int(bond.GetBondTypeAsDouble()))
    return graph


def _needs(module: str, package: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"this figure needs {package}: pip install 'svlearn[metrics]' ({error})") from error
