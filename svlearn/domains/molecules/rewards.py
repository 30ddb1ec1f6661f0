"""Rewards of molecules: drug-likeness, synthesis, solubility, similarity, and any function of an RDKit molecule.

A reward of one's own is a function of a module that takes an RDKit molecule: `MoleculeReward(function)` serves a
`Target`, with workers and memory; see `svlearn.domains.molecules.scoring.MoleculeScorer` for its options.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rdkit import Chem, DataStructs, RDConfig, rdBase
from rdkit.Chem import QED as rdkit_qed
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from tensordict import TensorDict
from torch import Tensor

from svlearn.arguments import each_of
from svlearn.domains.molecules.scoring import MoleculeScorer
from svlearn.scoring import ScoredReward

# Mean and standard deviation over ZINC-250k, as published with GCPN (arXiv 1806.02473). Its rings were those of
# networkx; with RDKit's the last pair is (0.0380, 0.2237), but scores would no longer compare with those of others.
LOGP, SA_SCORE, LARGE_RING = (2.45709534, 1.43432440), (3.05258113, 0.83352070), (0.04856969, 0.28602121)


class MoleculeReward(ScoredReward):
    """r(x_T) = function(molecule of x_T), of finished graphs (B,), float32 (B,) on their device.

    function: a callable RDKit Mol -> float that can be pickled. By default the graph is scored as it comes:
    `invalid_score` (0) for an invalid one and for one without atoms, its largest piece for a disconnected one; with
    correct=True its valences are repaired first, so that every graph with an atom is scored. A molecule on which the
    function crashes, hangs or raises gets `failure_score` (0). `scorer`, a `MoleculeScorer`, remembers the scores,
    counts them, tries again what may go well later, and takes the options given by keyword; among them `codec`, for the
    states of another reference than QM9's.
    Raises ValueError for a graph with masked atoms or bonds.
    """

    scorer: MoleculeScorer

    def __init__(self, function: Callable[[Chem.Mol], float], **options: Any):
        super().__init__(MoleculeScorer(function, **options))

    def of_molecules(self, molecules: Sequence[Chem.Mol | None]) -> Tensor:
        """The rewards of RDKit molecules, float32 (B,).

        None, one without atoms and one that RDKit does not sanitise are invalid. Raises TypeError for one molecule
        instead of a list, and for what is no molecule.
        """
        return torch.tensor(self.scorer.score_molecules(molecules), dtype=torch.float32)

    def of_smiles(self, smiles: Sequence[str]) -> Tensor:
        """The rewards of SMILES, float32 (B,).

        Raises ValueError with the first that RDKit does not read, TypeError for one text instead of a list.
        """
        each = enumerate(each_of(smiles, str, "smiles"))
        return self.of_molecules([parse(text, f"smiles[{place}]") for place, text in each])

    def _reading(self) -> tuple[Any, ...]:
        codec = self.scorer.codec
        return codec.graphs, codec.correct


class QED(MoleculeReward):
    """Quantitative estimate of drug-likeness, exp(Σ w_i log d_i / Σ w_i), in [0, 1]; 0 for an invalid graph.

    d_i are the desirabilities of eight properties (weight, logP, hydrogen-bond acceptors and donors, polar surface,
    rotatable bonds, aromatic rings, alerts). Source: Bickerton et al., Nature Chemistry 4, 90 (2012), as in RDKit
    with its mean weights.
    """

    def __init__(self, correct: bool = False, num_workers: int | None = None, **options: Any):
        super().__init__(drug_likeness, correct=correct, num_workers=num_workers, **options)


class SA(MoleculeReward):
    """Synthetic accessibility, (10 - SA) / 9, in [0, 1], 1 for the easiest; 0 for an invalid graph.

    SA in [1, 10] is the score of Ertl & Schuffenhauer, Journal of Cheminformatics 1, 8 (2009): how common the
    molecule's fragments are, less penalties for size, stereocentres, bridges, spiro atoms and large rings.
    """

    def __init__(self, correct: bool = False, num_workers: int | None = None, **options: Any):
        super().__init__(synthetic_accessibility, correct=correct, num_workers=num_workers, **options)
        sascorer()  # its table takes a second to read and is shared with the workers that are forked later


class PenalizedLogP(MoleculeReward):
    """Penalised logP, z(logP) - z(SA) - z(max(0, atoms of the largest ring - 6)); about 0 on average over ZINC-250k.

    z(.) is a term less its mean over ZINC-250k, over its standard deviation there. logP is that of Wildman & Crippen,
    SA that of `SA` in [1, 10], rings are RDKit's smallest set. It has no bounds: an invalid graph, and one that fails,
    gets `invalid_score`, below all but 89 of the 249,455 molecules. Source: GCPN (arXiv 1806.02473).
    """

    def __init__(
        self, correct: bool = False, num_workers: int | None = None, invalid_score: float = -10.0, **options: Any
    ):
        super().__init__(
            penalized_logp,
            correct=correct,
            num_workers=num_workers,
            invalid_score=invalid_score,
            failure_score=invalid_score,
            **options,
        )
        sascorer()


class Similarity(MoleculeReward):
    """Tanimoto similarity to the molecule of a SMILES, |a ∩ b| / |a ∪ b|, in [0, 1]; 0 for an invalid graph.

    a, b: the bits of Morgan fingerprints, radius 2, 2048 bits, without chirality.
    Raises ValueError where RDKit does not read the query.
    """

    def __init__(self, query: str, correct: bool = False, num_workers: int | None = None, **options: Any):
        parse(query, "query")
        super().__init__(SimilarityTo(query), correct=correct, num_workers=num_workers, **options)


class Substructure(MoleculeReward):
    """0 where the molecule has the substructure of a SMARTS, -inf where not and for an invalid graph: a constraint.

    As a reward it conditions the reference on the substructure, whatever alpha is. `holds` is the predicate that
    `targets.constraint` takes. Raises ValueError where RDKit does not read the pattern.
    """

    def __init__(self, pattern: str, correct: bool = False, num_workers: int | None = None, **options: Any):
        if not isinstance(pattern, str) or not pattern or _silently(Chem.MolFromSmarts, pattern) is None:
            raise ValueError(f"pattern: expected a SMARTS that RDKit reads, got {pattern!r}")
        super().__init__(
            HasSubstructure(pattern),
            correct=correct,
            num_workers=num_workers,
            invalid_score=-math.inf,
            failure_score=-math.inf,
            **options,
        )

    def holds(self, graphs: TensorDict) -> Tensor:
        """Whether the molecules have it, bool (B,)."""
        return self(graphs) == 0


def drug_likeness(molecule: Chem.Mol) -> float:
    """QED of a molecule, in [0, 1]."""
    return rdkit_qed.qed(molecule)


def synthetic_accessibility(molecule: Chem.Mol) -> float:
    """(10 - SA) / 9 of a molecule, in [0, 1]."""
    return (10.0 - sascorer().calculateScore(molecule)) / 9.0


def penalized_logp(molecule: Chem.Mol) -> float:
    """Penalised logP of a molecule, in standard deviations of ZINC-250k."""
    rings = molecule.GetRingInfo().AtomRings()
    beyond = max(0, max(map(len, rings), default=0) - 6)
    terms = (rdMolDescriptors.CalcCrippenDescriptors(molecule)[0], sascorer().calculateScore(molecule), beyond)
    logp, difficulty, ring = ((term - mean) / std for term, (mean, std) in zip(terms, (LOGP, SA_SCORE, LARGE_RING)))
    return logp - difficulty - ring


@dataclass(frozen=True)
class SimilarityTo:
    """Tanimoto similarity of a molecule to that of a SMILES, in [0, 1]."""

    query: str

    def __call__(self, molecule: Chem.Mol) -> float:
        return DataStructs.TanimotoSimilarity(fingerprint(molecule), _fingerprint_of_query(self.query))


@dataclass(frozen=True)
class HasSubstructure:
    """0 where a molecule has the substructure of a SMARTS, -inf where not."""

    pattern: str

    def __call__(self, molecule: Chem.Mol) -> float:
        return 0.0 if molecule.HasSubstructMatch(_pattern(self.pattern)) else -math.inf


def parse(smiles: str, name: str) -> Chem.Mol:
    """The molecule of a SMILES; raises ValueError, naming the argument, where RDKit does not read one with an atom."""
    molecule = _silently(Chem.MolFromSmiles, smiles) if isinstance(smiles, str) else None
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise ValueError(f"{name}: expected a SMILES that RDKit reads, got {smiles!r}")
    return molecule


def fingerprint(molecule: Chem.Mol) -> DataStructs.ExplicitBitVect:
    """The Morgan fingerprint of a molecule, radius 2, 2048 bits."""
    return _fingerprints().GetFingerprint(molecule)


@lru_cache
def sascorer() -> ModuleType:
    """RDKit's contributed SA_Score module, with its table of fragments read.

    It is a script and not a part of the rdkit package, so it is loaded from its file. Raises ImportError where the
    installed RDKit has none.
    """
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = spec_from_file_location("svlearn_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"SA needs RDKit's contributed files, and there is no {path}; the rdkit of PyPI has them")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.readFragmentScores()
    return module


@lru_cache
def _fingerprints() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


@lru_cache
def _fingerprint_of_query(smiles: str) -> DataStructs.ExplicitBitVect:
    return fingerprint(Chem.MolFromSmiles(smiles))


@lru_cache
def _pattern(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


def _silently(read: Callable[[str], Chem.Mol | None], text: str) -> Chem.Mol | None:
    with rdBase.BlockLogs():  # the caller raises, and says what was wrong
        try:
            return read(text)
        except UnicodeEncodeError:  # half of a surrogate pair
            return None
