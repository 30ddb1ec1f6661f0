"""Rewards of molecules: drug-likeness, synthetic accessibility, and any function of an RDKit molecule."""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rdkit import Chem, RDConfig
from rdkit.Chem import QED as rdkit_qed
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.scoring import Scorer


class MoleculeReward:
    """r(x_T) = function(molecule of x_T), of finished graphs (B,), float32 (B,) on their device.

    function: a callable RDKit Mol -> float that can be pickled. By default the graph is scored as it comes: 0 for
    an invalid one and for one without atoms, its largest piece for a disconnected one; with correct=True its
    valences are repaired first, so that every graph with an atom is scored. A molecule on which the function crashes,
    hangs or raises gets 0 too. `scorer`, a `Scorer`, remembers the scores and takes the options given by keyword.
    Raises ValueError for a graph with masked atoms or bonds.
    """

    def __init__(self, function: Callable[[Chem.Mol], float], **options: Any):
        self.scorer = Scorer(function, **options)

    def __call__(self, graphs: TensorDict) -> Tensor:
        return torch.tensor(self.scorer(graphs), dtype=torch.float32, device=graphs["atoms"].device)

    def forget(self) -> None:
        """Empty the scorer's caches, as `compare` asks before it times a sampler."""
        self.scorer.forget()


class QED(MoleculeReward):
    """Quantitative estimate of drug-likeness, exp(Σ w_i log d_i / Σ w_i), in [0, 1]; 0 for an invalid graph.

    d_i are the desirabilities of eight properties (weight, logP, hydrogen-bond acceptors and donors, polar surface,
    rotatable bonds, aromatic rings, alerts). Source: Bickerton et al., Nature Chemistry 4, 90 (2012), as in RDKit
    with its mean weights.
    """

    def __init__(self, correct: bool = False, num_workers: int | None = None):
        super().__init__(drug_likeness, correct=correct, num_workers=num_workers)


class SA(MoleculeReward):
    """Synthetic accessibility, (10 - SA) / 9, in [0, 1], 1 for the easiest; 0 for an invalid graph.

    SA in [1, 10] is the score of Ertl & Schuffenhauer, Journal of Cheminformatics 1, 8 (2009): how common the
    molecule's fragments are, less penalties for size, stereocentres, bridges, spiro atoms and large rings.
    """

    def __init__(self, correct: bool = False, num_workers: int | None = None):
        super().__init__(synthetic_accessibility, correct=correct, num_workers=num_workers)
        sascorer()  # its table takes a second to read and is shared with the workers that are forked later


def drug_likeness(molecule: Chem.Mol) -> float:
    """QED of a molecule, in [0, 1]."""
    return rdkit_qed.qed(molecule)


def synthetic_accessibility(molecule: Chem.Mol) -> float:
    """(10 - SA) / 9 of a molecule, in [0, 1]."""
    return (10.0 - sascorer().calculateScore(molecule)) / 9.0


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
