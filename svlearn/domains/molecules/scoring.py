"""Score many molecules in a pool of worker processes, each distinct molecule once, whatever some of them do.

A molecule that crashes its worker or hangs costs itself a score, not the run. What is known is kept on two levels:
graph -> canonical SMILES -> score, so that no graph is built twice, and no molecule scored twice; and on disk where a
store is given.
"""

import logging
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rdkit import Chem
from tensordict import TensorDict

from svlearn.domains.molecules.codec import largest_piece
from svlearn.domains.molecules.graph_codec import Codec, MaskedGraphCodec
from svlearn.domains.molecules.score_store import ScoreStore
from svlearn.domains.molecules.workers import Workers

GRAPHS_PER_TASK, MOLECULES_PER_TASK = 256, 32
MEMORY = 1_000_000  # graphs, and as many molecules: about 300 MB
PATIENCE = 8  # as many failures before the first success are the function's fault, not the molecules'

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What a scorer was asked for, and what it did, since it was made.

    asked    molecules, one a state, those without a molecule among them
    built    distinct graphs made into molecules
    stored   distinct molecules whose score came from the disk
    scored   molecules given to the function
    failed   of those scored, and of those built, the ones that crashed, hung or raised
    """

    asked: int = 0
    built: int = 0
    stored: int = 0
    scored: int = 0
    failed: int = 0


class Scorer:
    """function(molecule) of finished graphs, computed in parallel, remembered, and safe from crashes and hangs.

    function: a callable RDKit Mol -> float that can be pickled (a function of a module); it runs in the workers, on
    one connected molecule in canonical form, so the score does not depend on how the atoms are numbered.
    correct: repair valences first, so that every graph with an atom is scored. Otherwise an invalid
    graph gets `invalid_score`, and a disconnected one is scored by its largest piece (as GDSS, arXiv 2202.02514). A
    graph without atoms gets `invalid_score` always.
    num_workers: default, the cores this process may use, at most 16. timeout: seconds that one molecule may take. One
    that takes longer, kills its worker or raises gets `failure_score`; `failures` lists these as (SMILES, why), and
    `counts` says how many were asked for and how many really scored.
    codec: what reads the states; by default those of `graph`. store: a `ScoreStore`, where each score is written as
    soon as it is known and looked up first. memory: so many graphs, and molecules, are remembered; the oldest go.
    per_task: molecules that a worker takes at a time; 1 for a function of seconds.

    The pool starts at the first call and ends with `close()`, the scorer or the program; a copy or a pickle of a
    scorer keeps what is known and starts its own.
    Raises TypeError where function is not a callable that can be pickled, ValueError for num_workers < 1, timeout <= 0
    and memory < 1; a call raises ValueError for undecided graphs, and RuntimeError where the first molecules all fail.
    """

    def __init__(
        self,
        function: Callable[[Chem.Mol], float],
        *,
        correct: bool = False,
        num_workers: int | None = None,
        timeout: float = 10.0,
        invalid_score: float = 0.0,
        failure_score: float = 0.0,
        codec: Codec | None = None,
        store: ScoreStore | None = None,
        memory: int = MEMORY,
        per_task: int = MOLECULES_PER_TASK,
    ):
        if not callable(function):
            raise TypeError(f"function: expected a callable of RDKit molecules, got {type(function).__name__}")
        try:
            pickle.dumps(function)
        except Exception as error:
            raise TypeError(f"function: expected one that can be pickled, as a module's functions; {error}") from error
        if memory < 1:
            raise ValueError(f"memory: expected an integer of at least 1, got {memory}")
        self.function, self.correct = function, correct
        self.invalid_score, self.failure_score = invalid_score, failure_score
        self.codec = MaskedGraphCodec() if codec is None else codec
        self.store, self.memory, self.per_task = store, memory, per_task
        self.timeout = timeout
        self.counts = Counts()
        self.failures: list[tuple[str, str]] = []
        self._workers = Workers(num_workers, timeout)
        self._smiles: OrderedDict[bytes, str | None] = OrderedDict()
        self._scores: OrderedDict[str, float] = OrderedDict()

    def __call__(self, graphs: TensorDict) -> list[float]:
        """The score of every finished graph (B,), in their order."""
        return self.score(self.smiles(graphs))

    def smiles(self, graphs: TensorDict) -> list[str | None]:
        """The canonical SMILES of what is scored of every finished graph (B,), None for what has no molecule."""
        keys = self.codec.keys(graphs)
        new = [key for key in dict.fromkeys(keys) if key not in self._smiles]
        if new:
            read = partial(smiles_of_key, codec=self.codec, correct=self.correct)
            for key, (smiles, why) in zip(new, self._workers.map(read, new, GRAPHS_PER_TASK)):
                self._smiles[key] = smiles
                if why is not None:
                    self._fail(f"graph {list(key)}", why, self.invalid_score)
            self._count(built=len(new))
        found = [self._smiles[key] for key in keys]
        _trim(self._smiles, self.memory)
        return found

    def score(self, smiles: Sequence[str | None]) -> list[float]:
        """The scores of molecules given as canonical SMILES, in their order; None has `invalid_score`."""
        self._count(asked=len(smiles))
        new = [text for text in dict.fromkeys(smiles) if text is not None and text not in self._scores]
        if new and self.store is not None:
            new = self._recall(new, self.store)
        if new:
            self._evaluate(new)
        found = [self.invalid_score if text is None else self._scores[text] for text in smiles]
        _trim(self._scores, self.memory)
        return found

    def score_molecules(self, molecules: Sequence[Chem.Mol | None]) -> list[float]:
        """The scores of molecules, each by its largest connected piece, in their order; None has `invalid_score`."""
        return self.score([None if molecule is None else smiles_of(molecule) for molecule in molecules])

    @property
    def known(self) -> int:
        """How many distinct molecules have been scored and are remembered."""
        return len(self._scores)

    def forget(self) -> None:
        """Empty what is remembered, so that what is timed next pays for its own scores.

        What is on disk stays there, and `failures` stay listed.
        """
        self._smiles.clear()
        self._scores.clear()

    def close(self) -> None:
        """End the worker processes; a later call starts new ones."""
        self._workers.close()

    def _recall(self, smiles: list[str], store: ScoreStore) -> list[str]:
        """Take from the disk what is there; returns the others."""
        found = store.read(smiles)
        for text, (score, why) in found.items():
            self._scores[text] = self.failure_score if score is None else score
            if why is not None:
                self.failures.append((text, why))
        self._count(stored=len(found))
        return [text for text in smiles if text not in found]

    def _evaluate(self, smiles: list[str]) -> None:
        """Score molecules that are not known, and remember them.

        On disk a score is kept at once. A failure waits until it is clear that not all fail, which would be the
        function's fault; and a NaN, which is an error where it is used, is not kept.
        """

        def keep(place: int, score: float, why: str | None) -> None:
            if self.store is not None and why is None and not math.isnan(score):
                self.store.write({smiles[place]: (score, None)})

        read = partial(score_smiles, function=self.function)
        results = self._workers.map(read, smiles, self.per_task, keep)
        failed = {text: why for text, (_, why) in zip(smiles, results) if why is not None}
        if len(failed) == len(smiles) >= PATIENCE and not self._scores:
            reason = failed[smiles[0]]
            raise RuntimeError(f"function: it failed on all of the first {len(smiles)} molecules; {reason}")
        for text, (score, why) in zip(smiles, results):
            self._scores[text] = score if why is None else self.failure_score
        if self.store is not None:
            self.store.write({text: (None, why) for text, why in failed.items()})
        for text, why in failed.items():
            self._fail(text, why, self.failure_score)
        self._count(scored=len(smiles))

    def _fail(self, what: str, why: str, score: float) -> None:
        self.failures.append((what, why))
        self._count(failed=1)
        logger.warning("%s could not be scored and gets %g: %s", what, score, why)

    def _count(self, **more: int) -> None:
        self.counts = Counts(**{name: count + more.get(name, 0) for name, count in vars(self.counts).items()})


def smiles_of(molecule: Chem.Mol) -> str:
    """The largest connected piece of a molecule as canonical SMILES."""
    return Chem.MolToSmiles(largest_piece(molecule))


def smiles_of_key(key: bytes, codec: Codec, correct: bool) -> str | None:
    """What is scored of a quantised graph, as canonical SMILES; None where there is no molecule."""
    molecule = codec.build(key, correct)
    return None if molecule is None else smiles_of(molecule)


def score_smiles(smiles: str, function: Callable[[Chem.Mol], float]) -> float:
    """function of the molecule that a SMILES describes."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"RDKit does not read the SMILES {smiles}")
    return float(function(molecule))


def _trim(memory: OrderedDict, size: int) -> None:
    while len(memory) > size:
        memory.popitem(last=False)
