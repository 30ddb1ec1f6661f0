"""A dear reward foreseen: what forests of trees learned of molecules that were scored, for use inside a sampler.

docked = Surrogate(smiles, scores, correct=True, codec=GDSSCodec())
value = values.PosteriorMean(Target(docked, alpha=0.0))          # SVDD-PM without a docking in its loop
samples = svdd(reference, Target(Docking("parp1"), alpha=0.0), value, 10).sample(16)
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen, rdFingerprintGenerator, rdMolDescriptors
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.model_selection import KFold

from svlearn.arguments import each_of
from svlearn.domains.molecules.rewards import MoleculeReward, parse
from svlearn.domains.molecules.scoring import MoleculeScorer
from svlearn.domains.molecules.smiles import molecule_of
from svlearn.scoring.failures import Failure
from svlearn.scoring.workers import apply_here

NUM_TREES, SMALLEST_LEAF, SHARE = 200, 2, 0.3  # of the features that a tree may split by at a node
NUM_COUNTS, RADIUS = 1024, 2
DESCRIPTORS: tuple[Callable[[Chem.Mol], float], ...] = (
    Chem.Mol.GetNumHeavyAtoms,
    Crippen.MolLogP,  # type: ignore[attr-defined]  # RDKit makes it at import
    rdMolDescriptors.CalcTPSA,
    rdMolDescriptors.CalcLabuteASA,
    rdMolDescriptors.CalcNumRings,
    rdMolDescriptors.CalcNumAromaticRings,
    rdMolDescriptors.CalcNumRotatableBonds,
    rdMolDescriptors.CalcNumHBD,
    rdMolDescriptors.CalcNumHBA,
    rdMolDescriptors.CalcFractionCSP3,
    rdMolDescriptors.CalcNumBridgeheadAtoms,
    rdMolDescriptors.CalcNumSpiroAtoms,
    rdMolDescriptors.CalcChi0v,
    rdMolDescriptors.CalcChi1v,
    rdMolDescriptors.CalcChi2v,
    rdMolDescriptors.CalcChi3v,
    rdMolDescriptors.CalcChi4v,
    rdMolDescriptors.CalcKappa1,
    rdMolDescriptors.CalcKappa2,
    rdMolDescriptors.CalcKappa3,
)


class Surrogate(MoleculeReward):
    """r̂(x_T) = P E[r | no failure] + (1 - P) failure_score, (B,), in the reward's units, P that no failure comes.

    P and the score to expect are forests of extremely randomised trees (Geurts et al., Machine Learning 63, 3 (2006)),
    fitted to scored molecules: the score to Morgan counts and descriptors, whether a molecule fails, as one that cannot
    be docked, to the descriptors alone.

    smiles, rewards: what was scored. failed: which of them failed; by default those with exactly `failure_score`, as
    float32, in which rewards come.
    seed: of the forests. correct, codec and the other options are those of `MoleculeReward`; the forests run in this
    process, many molecules at a time, and the workers only build the molecules.
    It is a guess about molecules like those it learned from: judge it by `foreseen`, and a sample by the reward itself.
    Raises ValueError for SMILES that do not parse, for unequal numbers, rewards that are not finite, fewer than 10
    molecules that did not fail, and a store, TypeError for one SMILES instead of a list.
    """

    asynchronous = False  # not for its workers, but for its own trees
    stands_in = True

    def __init__(
        self,
        smiles: Sequence[str],
        rewards: Sequence[float],
        *,
        failed: Sequence[bool] | None = None,
        failure_score: float = 0.0,
        seed: int = 0,
        **options: Any,
    ):
        molecules = [parse(text, f"smiles[{place}]") for place, text in enumerate(each_of(smiles, str, "smiles"))]
        scores = np.asarray(rewards, dtype=float)
        if scores.shape != (len(molecules),) or not np.isfinite(scores).all():
            raise ValueError(f"rewards: expected {len(molecules)} finite numbers, one a SMILES, got {scores.shape}")
        lost = (
            scores.astype(np.float32) == np.float32(failure_score) if failed is None else np.asarray(failed, dtype=bool)
        )
        if lost.shape != scores.shape or (~lost).sum() < 10:
            raise ValueError(f"failed: expected {len(scores)}, and 10 molecules that did not, got {(~lost).sum()}")
        if options.get("store") is not None:
            raise ValueError("store: expected none, as what forests say depends on all that they learned from")
        forests = Forests(seed).fit(molecules, scores, lost, failure_score)
        self.scorer = ManyScorer(forests, failure_score=failure_score, **options)


class Forests:
    """The two forests of a `Surrogate`, as a function of many molecules."""

    def __init__(self, seed: int):
        shared = {"n_estimators": NUM_TREES, "min_samples_leaf": SMALLEST_LEAF, "max_features": SHARE}
        self.scores = ExtraTreesRegressor(**shared, random_state=seed)
        self.successes = ExtraTreesClassifier(**shared, random_state=seed)
        self.failure_score = 0.0

    def fit(
        self, molecules: Sequence[Chem.Mol], scores: np.ndarray, failed: np.ndarray, failure_score: float
    ) -> "Forests":
        counts, descriptors = features(molecules)
        self.failure_score = failure_score
        self.scores.fit(np.hstack([counts, descriptors])[~failed], scores[~failed])
        self.successes.fit(descriptors, ~failed)
        return self

    def __call__(self, molecules: Sequence[Chem.Mol]) -> np.ndarray:
        """The scores to expect, (N,)."""
        counts, descriptors = features(molecules)
        scores = self.scores.predict(np.hstack([counts, descriptors]))
        success = self.successes.predict_proba(descriptors) @ self.successes.classes_  # True is the last class, if any
        return success * scores + (1 - success) * self.failure_score


class ManyScorer(MoleculeScorer):
    """A `MoleculeScorer` of a function of many molecules at once, which runs here: molecules (N,) to scores (N,).

    A molecule that RDKit does not read again, or on which the function raises alone, gets `failure_score`, as there,
    and the others their scores.
    """

    def __init__(self, many: Callable[[Sequence[Chem.Mol]], np.ndarray], **options: Any):
        super().__init__(cast(Any, many), **options)
        self.many = many

    def _apply(self, texts: list[str], keep: Callable[[dict[int, Any]], None]) -> list[Any]:
        results = apply_here(molecule_of, texts)
        read = {place: each for place, each in enumerate(results) if not isinstance(each, Failure)}
        (scores,) = apply_here(self._of_many, [list(read.values())]) if read else [[]]
        if isinstance(scores, Failure):  # one of them spoiled it for all
            scores = apply_here(lambda molecule: self._of_many([molecule])[0], list(read.values()))
        for place, score in zip(read, scores, strict=True):
            results[place] = score
        keep(dict(enumerate(results)))
        return results

    def _of_many(self, molecules: list[Chem.Mol]) -> list[float]:
        scores = np.asarray(self.many(molecules), dtype=float)
        if scores.shape != (len(molecules),):
            raise ValueError(f"many: expected {len(molecules)} scores, got {scores.shape}")
        return scores.tolist()


def foreseen(
    smiles: Sequence[str], rewards: Sequence[float], *, folds: int = 10, failure_score: float = 0.0, seed: int = 0
) -> np.ndarray:
    """What a `Surrogate` would have said of each molecule, (N,), had it learned from the other folds alone."""
    predictions = np.empty(len(smiles))
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(predictions):
        own = Surrogate([smiles[k] for k in train], [rewards[k] for k in train], failure_score=failure_score, seed=seed)
        predictions[test] = own.of_smiles([smiles[k] for k in test]).numpy()
        own.scorer.close()
    return predictions


def features(molecules: Sequence[Chem.Mol]) -> tuple[np.ndarray, np.ndarray]:
    """Morgan counts (N, 1024), radius 2, and `DESCRIPTORS` with what rings there are (N, 23)."""
    counts = np.stack([_fingerprints().GetCountFingerprintAsNumPy(each) for each in molecules]).astype(float)
    return counts, np.array([[*(one(each) for one in DESCRIPTORS), *_rings(each)] for each in molecules], dtype=float)


def _rings(molecule: Chem.Mol) -> tuple[int, int, int]:
    """The size of the largest, and how many have 3 and 4 atoms."""
    sizes = [len(ring) for ring in molecule.GetRingInfo().AtomRings()]
    return max(sizes, default=0), sizes.count(3), sizes.count(4)


@lru_cache
def _fingerprints() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=NUM_COUNTS)
