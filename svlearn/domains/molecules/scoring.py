"""Score many molecules in a pool of worker processes, each distinct molecule once, whatever some of them do.

A molecule that crashes its worker or hangs costs itself a score, not the run. What is known is kept on two levels:
graph -> canonical SMILES -> score, so that no graph is built twice, and no molecule scored twice; and on disk where a
store is given.
"""

import logging
import math
import pickle
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from rdkit import Chem
from tensordict import TensorDict

from svlearn.arguments import each_of, integer, is_number
from svlearn.domains.molecules.codec import sanitised
from svlearn.domains.molecules.failures import MACHINE, MOLECULE, Failure, printable
from svlearn.domains.molecules.graph_codec import Codec, MaskedGraphCodec
from svlearn.domains.molecules.score_store import Known, ScoreStore
from svlearn.domains.molecules.smiles import score_smiles, smiles_of, smiles_of_key
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

    What fails is told apart. A function that raises fails on the molecule, and the store keeps that. A molecule that is
    too slow or crashes its worker fails in this run: it is remembered here until `forget()`, and the next run tries it
    again, perhaps with more time. Where memory, a disk or a file was missing, or somebody else killed the worker, the
    next call tries again. So what a store holds does not depend on timeout, num_workers, per_task, correct or codec.
    A store that cannot be written any more costs a warning, and is tried again with the next scores.

    The pool starts at the first call and ends with `close()`, the scorer or the program; a copy or a pickle of a
    scorer keeps what is known and starts its own. In a daemonic process, which may have no workers, the function runs
    in the process itself, with a warning.
    Raises TypeError where function is not a callable that can be pickled, or a score no number; ValueError for
    num_workers < 1, timeout <= 0, memory < 1 and per_task < 1; a call raises ValueError for undecided graphs, TypeError
    for what is no list of molecules or SMILES, and RuntimeError where the first molecules, of however many calls, all
    fail: that is the function's fault, and neither memory nor store keeps it.
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
        for name, score in (("invalid_score", invalid_score), ("failure_score", failure_score)):
            if not is_number(score):
                raise TypeError(f"{name}: expected a number, got {type(score).__name__}")
        self.function, self.correct = function, correct
        self.invalid_score, self.failure_score = float(invalid_score), float(failure_score)
        self.codec = MaskedGraphCodec() if codec is None else codec
        self.store, self.timeout = store, timeout
        self.memory, self.per_task = integer(memory, "memory"), integer(per_task, "per_task")
        self.counts = Counts()
        self.failures: list[tuple[str, str]] = []
        self._workers = Workers(num_workers, timeout)
        self._smiles: dict[bytes, str | None] = {}
        self._scores: dict[str, float] = {}
        self._unsaved: dict[str, Known] = {}  # for the store
        self._trouble = ""  # why they could not be written, the last time
        self._works = False  # whether the function has scored a molecule
        self._first_failures: dict[str, str] = {}  # until it has

    def __call__(self, graphs: TensorDict) -> list[float]:
        """The score of every finished graph (B,), in their order."""
        return self.score(self.smiles(graphs))

    def smiles(self, graphs: TensorDict) -> list[str | None]:
        """The canonical SMILES of what is scored of every finished graph (B,), None for what has no molecule."""
        keys = self.codec.keys(graphs)
        new, passing = [key for key in dict.fromkeys(keys) if key not in self._smiles], []
        if new:
            read = partial(smiles_of_key, codec=self.codec, correct=self.correct)
            for key, found in zip(new, self._workers.map(read, new, GRAPHS_PER_TASK)):
                if isinstance(found, Failure):
                    self._fail(f"graph {list(key)}", found.why, self.invalid_score)
                    if found.cause == MACHINE:
                        passing.append(key)
                self._smiles[key] = None if isinstance(found, Failure) else found
            self._count(built=len(new))
        smiles = [self._smiles[key] for key in keys]
        _forget(self._smiles, passing, self.memory)
        return smiles

    def score(self, smiles: Sequence[str | None]) -> list[float]:
        """The scores of molecules given as canonical SMILES, in their order; None and "" have `invalid_score`.

        Raises TypeError for one text instead of a list, and for what is neither a text nor None.
        """
        smiles = [text or None for text in each_of(smiles, str, "smiles")]
        self._count(asked=len(smiles))
        new, passing = [text for text in dict.fromkeys(smiles) if text is not None and text not in self._scores], []
        if new and self.store is not None:
            new = self._recall(new, self.store)
        if new:
            passing = self._evaluate(new)
        found = [self.invalid_score if text is None else self._scores[text] for text in smiles]
        _forget(self._scores, passing, self.memory)
        return found

    def score_molecules(self, molecules: Sequence[Chem.Mol | None]) -> list[float]:
        """The scores of molecules, each by its largest connected piece, in their order.

        None, a molecule without atoms and one that RDKit does not sanitise have `invalid_score`. Raises TypeError for
        one molecule or SMILES instead of a list, and for what is neither a molecule nor None.
        """
        given = [sanitised(molecule) for molecule in each_of(molecules, Chem.Mol, "molecules")]
        return self.score([None if molecule is None else smiles_of(molecule) for molecule in given])

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
        """End the worker processes, and write what could not be written yet; a later call starts new ones."""
        self._workers.close()
        self._save()

    def _recall(self, smiles: list[str], store: ScoreStore) -> list[str]:
        """Take from the disk what is there; returns the others."""
        try:
            found = store.read(smiles)
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s cannot be read, so that its scores are found anew: %s", store.path, error)
            return smiles
        for text, (score, why) in found.items():
            self._scores[text] = self.failure_score if score is None else score
            self._works |= score is not None
            if why is not None:
                self.failures.append((text, why))
        self._count(stored=len(found))
        return [text for text in smiles if text not in found]

    def _evaluate(self, smiles: list[str]) -> list[str]:
        """Score molecules that are not known, and remember them; returns those that the next call is to try again.

        On disk a score is kept as soon as it is known, with those that came with it. A failure waits until a success
        shows that it is not the function's; and a NaN, which is an error where it is used, is not kept.
        """

        def keep(found: dict[int, Any]) -> None:
            for place, result in found.items():
                if not isinstance(result, Failure):
                    self._works = True
                    if not math.isnan(result):
                        self._unsaved[smiles[place]] = (result, None)
                elif result.cause == MOLECULE:
                    self._unsaved[smiles[place]] = (None, result.why)
            self._save()

        results = dict(zip(smiles, self._apply(smiles, keep)))
        failed = {text: result for text, result in results.items() if isinstance(result, Failure)}
        self._check_function({text: failure.why for text, failure in failed.items()})
        for text, result in results.items():
            self._scores[text] = self.failure_score if isinstance(result, Failure) else result
        for text, failure in failed.items():
            self._fail(text, failure.why, self.failure_score)
        self._count(scored=len(smiles))
        return [text for text, failure in failed.items() if failure.cause == MACHINE]

    def _apply(self, smiles: list[str], keep: Callable[[dict[int, Any]], None]) -> list[Any]:
        """The score of every molecule, or a `Failure`; `keep` is told, by place, what is known so far."""
        return self._workers.map(partial(score_smiles, function=self.function), smiles, self.per_task, keep)

    def _check_function(self, failed: dict[str, str]) -> None:
        """Raise RuntimeError where there were only failures since this scorer was made, and enough of them."""
        if self._works:
            self._first_failures = {}
            return
        self._first_failures |= failed
        if len(self._first_failures) < PATIENCE:
            return
        number, reason = len(self._first_failures), next(iter(self._first_failures.values()))
        _forget(self._scores, self._first_failures, self.memory)
        self._unsaved, self._first_failures = {}, {}
        raise RuntimeError(f"function: it failed on all of the first {number} molecules; {reason}")

    def _save(self) -> None:
        """Write to the store what is known; what cannot be written now waits for the next time."""
        if self.store is None or not self._works:
            return
        try:
            self.store.write(self._unsaved)
        except (sqlite3.Error, OSError, ValueError) as error:
            if str(error) != self._trouble:  # a full disk is no news with every molecule
                logger.warning(
                    "%s cannot be written, and %d scores wait: %s", self.store.path, len(self._unsaved), error
                )
            self._trouble = str(error)
            _forget(self._unsaved, [], self.memory)
        else:
            self._unsaved, self._trouble = {}, ""

    def _fail(self, what: str, why: str, score: float) -> None:
        self.failures.append((what, why))
        self._count(failed=1)
        logger.warning("%s could not be scored and gets %g: %s", printable(what), score, printable(why))

    def _count(self, **more: int) -> None:
        self.counts = Counts(**{name: count + more.get(name, 0) for name, count in vars(self.counts).items()})


def _forget(memory: dict, passing: Iterable, size: int) -> None:
    """Drop what is not to be remembered, and the oldest where there are too many."""
    for key in passing:
        memory.pop(key, None)
    for key in list(islice(memory, max(0, len(memory) - size))):
        del memory[key]
