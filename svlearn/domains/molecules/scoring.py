"""What a `Scorer` needs to score molecules: their canonical SMILES, by which they are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rdkit import Chem, rdBase
from tensordict import TensorDict

from svlearn import scoring
from svlearn.arguments import each_of
from svlearn.domains.molecules.codec import sanitised
from svlearn.domains.molecules.graph_codec import Codec, MaskedGraphCodec
from svlearn.domains.molecules.smiles import molecule_of, smiles_of


@dataclass(frozen=True)
class SmilesCodec(scoring.Codec):
    """Graph -> canonical SMILES of its largest piece -> molecule.

    graphs: what reads the states. correct: repair valences first.
    """

    graphs: Codec
    correct: bool = False

    noun = "molecule"

    def keys(self, states: TensorDict) -> list[bytes]:
        return self.graphs.keys(states)

    def text(self, key: bytes) -> str | None:
        molecule = self.graphs.build(key, self.correct)
        return None if molecule is None else smiles_of(molecule)

    def read(self, text: str) -> Chem.Mol:
        return molecule_of(text)

    def begin(self) -> None:
        rdBase.DisableLog("rdApp.*")  # in a worker, an invalid graph is an answer and no news


class MoleculeScorer(scoring.Scorer):
    """function(molecule) of finished graphs: a `Scorer`, with its other options.

    function: a callable RDKit Mol -> float that can be pickled (a function of a module); it runs in the workers, on
    one connected molecule in canonical form, so the score does not depend on how the atoms are numbered.
    correct: repair valences first, so that every graph with an atom is scored. Otherwise an invalid
    graph gets `invalid_score`, and a disconnected one is scored by its largest piece (as GDSS, arXiv 2202.02514). A
    graph without atoms gets `invalid_score` always.
    codec: what reads the states; by default those of `graph`.
    Raises ValueError for undecided graphs, and what `Scorer` raises.
    """

    codec: SmilesCodec

    def __init__(
        self,
        function: Callable[[Chem.Mol], float],
        *,
        correct: bool = False,
        codec: Codec | None = None,
        **options: Any,
    ):
        super().__init__(function, SmilesCodec(MaskedGraphCodec() if codec is None else codec, correct), **options)

    def smiles(self, graphs: TensorDict) -> list[str | None]:
        """The canonical SMILES of what is scored of every finished graph (B,), None for what has no molecule."""
        return self.texts(graphs)

    def score_molecules(self, molecules: Sequence[Chem.Mol | None]) -> list[float]:
        """The scores of molecules, each by its largest connected piece, in their order.

        None, a molecule without atoms and one that RDKit does not sanitise have `invalid_score`. Raises TypeError for
        one molecule or SMILES instead of a list, and for what is neither a molecule nor None.
        """
        given = [sanitised(molecule) for molecule in each_of(molecules, Chem.Mol, "molecules")]
        return self.score([None if molecule is None else smiles_of(molecule) for molecule in given])
