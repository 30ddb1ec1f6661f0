"""Score many objects in a pool of worker processes, each distinct object once, whatever some of them do.

An object that crashes its worker or hangs costs itself a score, not the run. What is known is kept on two levels:
key of a state -> text -> score, so that no text is made twice, and no object scored twice; and on disk where a store is
given.
"""

import logging
import math
import pickle
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from typing import Any

from svlearn.arguments import each_of, integer, is_number
from svlearn.scoring.codec import Codec
from svlearn.scoring.counts import Counts
from svlearn.scoring.executors import ExecutorWorkers
from svlearn.scoring.failures import ITEM, LONGEST_REASON, MACHINE, Failure, printable
from svlearn.scoring.score_store import Known, ScoreStore
from svlearn.scoring.workers import Workers, apply_here
from svlearn.state import State

KEYS_PER_TASK, OBJECTS_PER_TASK = 256, 32
MEMORY = 1_000_000  # keys, and as many texts: about 300 MB
PATIENCE = 8  # as many failures before the first success are the function's fault, not the objects'

logger = logging.getLogger(__name__)


class Scorer:
    """function(object) of finished states, computed in parallel, remembered, and safe from crashes and hangs.

    function: a callable object -> float that can be pickled (a function of a module); it runs in the workers, on what
    the codec reads from a text, so that states of one text have one score.
    codec: what reads the states. A state without a text gets `invalid_score`.
    num_workers: default, the cores this process may use, at most 16. timeout: seconds that one object may take. One
    that takes longer, kills its worker or raises gets `failure_score`; `failures` lists these as (text, why), and
    `counts` says how many were asked for and how many really scored.
    store: a `ScoreStore`, where each score is written as soon as it is known and looked up first. memory: so many
    keys, and texts, are remembered; the oldest go. per_task: objects that a worker takes at a time; 1 for a function of
    seconds.
    executor: any `concurrent.futures.Executor`, as dask's `client.get_executor()` or mpi4py's `MPIPoolExecutor`, in
    place of this machine's pool, see `ExecutorWorkers`: limits, failures, memory and store are the same.

    What fails is told apart. A function that raises fails on the object, and the store keeps that. An object that is
    too slow or crashes its worker fails in this run: it is remembered here until `forget()`, and the next run tries it
    again, perhaps with more time. Where memory, a disk or a file was missing, or somebody else killed the worker, the
    next call tries again. So what a store holds does not depend on timeout, num_workers, per_task or codec.
    A store that cannot be written any more costs a warning, and is tried again with the next scores.

    The pool starts at the first call and ends with `close()`, the scorer or the program; a copy or a pickle of a
    scorer keeps what is known and starts its own. In a daemonic process, which may have no workers, the function runs
    in the process itself, with a warning.
    Raises TypeError where function is not a callable that can be pickled, or a score no number; ValueError for
    num_workers < 1, timeout <= 0, memory < 1 and per_task < 1; a call raises what the codec does of states, TypeError
    for what is no list of texts, and RuntimeError where the first objects, of however many calls, all fail: that is the
    function's fault, and neither memory nor store keeps it.
    """

    def __init__(
        self,
        function: Callable[[Any], float],
        codec: Codec,
        *,
        num_workers: int | None = None,
        timeout: float = 10.0,
        invalid_score: float = 0.0,
        failure_score: float = 0.0,
        store: ScoreStore | None = None,
        memory: int = MEMORY,
        per_task: int = OBJECTS_PER_TASK,
        executor: Executor | None = None,
    ):
        if not callable(function):
            raise TypeError(f"function: expected a callable of {codec.noun}s, got {type(function).__name__}")
        try:
            pickle.dumps(function)
        except Exception as error:
            raise TypeError(f"function: expected one that can be pickled, as a module's functions; {error}") from error
        for name, score in (("invalid_score", invalid_score), ("failure_score", failure_score)):
            if not is_number(score):
                raise TypeError(f"{name}: expected a number, got {type(score).__name__}")
        self.function, self.codec = function, codec
        self.invalid_score, self.failure_score = float(invalid_score), float(failure_score)
        self.store, self.timeout = store, timeout
        self.memory, self.per_task = integer(memory, "memory"), integer(per_task, "per_task")
        self.counts = Counts()
        self.failures: list[tuple[str, str]] = []
        self._workers = (
            Workers(num_workers, timeout, codec.begin)
            if executor is None
            else ExecutorWorkers(executor, num_workers, timeout, codec.begin)
        )
        self._texts: dict[bytes, str | None] = {}
        self._scores: dict[str, float] = {}
        self._unsaved: dict[str, Known] = {}  # for the store
        self._trouble = ""  # why they could not be written, the last time
        self._works = False  # whether the function has scored an object
        self._first_failures: dict[str, str] = {}  # until it has

    def __call__(self, states: State) -> list[float]:
        """The score of every finished state (B,), in their order."""
        return self.score(self.texts(states))

    def texts(self, states: State) -> list[str | None]:
        """The text of what is scored of every finished state (B,), None for what has no object."""
        keys = self.codec.keys(states)
        new, passing = [key for key in dict.fromkeys(keys) if key not in self._texts], []
        if new:
            for key, found in zip(new, self._read(new)):
                if isinstance(found, Failure):
                    self._fail(f"state {list(key)}", found.why, self.invalid_score)
                    if found.cause == MACHINE:
                        passing.append(key)
                self._texts[key] = None if isinstance(found, Failure) else found
            self._count(built=len(new))
        texts = [self._texts[key] for key in keys]
        _forget(self._texts, passing, self.memory)
        return texts

    def score(self, texts: Sequence[str | None]) -> list[float]:
        """The scores of objects given as their canonical texts, in their order; None and "" have `invalid_score`.

        Raises TypeError for one text instead of a list, and for what is neither a text nor None.
        """
        texts = [text or None for text in each_of(texts, str, "texts")]
        self._count(asked=len(texts))
        new, passing = [text for text in dict.fromkeys(texts) if text is not None and text not in self._scores], []
        if new and self.store is not None:
            new = self._recall(new, self.store)
        if new:
            passing = self._evaluate(new)
        found = [self.invalid_score if text is None else self._scores[text] for text in texts]
        _forget(self._scores, passing, self.memory)
        return found

    @property
    def known(self) -> int:
        """How many distinct objects have been scored and are remembered."""
        return len(self._scores)

    def forget(self) -> None:
        """Empty what is remembered, so that what is timed next pays for its own scores.

        What is on disk stays there, and `failures` stay listed.
        """
        self._texts.clear()
        self._scores.clear()

    def close(self) -> None:
        """End the worker processes, and write what could not be written yet; a later call starts new ones."""
        self._workers.close()
        self._save()

    def _read(self, keys: list[bytes]) -> list[Any]:
        """The text of every key, or a `Failure`."""
        if self.codec.in_workers:
            return self._workers.map(self.codec.text, keys, KEYS_PER_TASK)
        return apply_here(self.codec.text, keys)

    def _recall(self, texts: list[str], store: ScoreStore) -> list[str]:
        """Take from the disk what is there; returns the others."""
        try:
            found = store.read(texts)
        except (sqlite3.Error, OSError) as error:
            logger.warning("%s cannot be read, so that its scores are found anew: %s", store.path, error)
            return texts
        for text, (score, why) in found.items():
            self._scores[text] = self.failure_score if score is None else score
            self._works |= score is not None
            if why is not None:
                self.failures.append((text, why))
        self._count(stored=len(found))
        return [text for text in texts if text not in found]

    def _evaluate(self, texts: list[str]) -> list[str]:
        """Score objects that are not known, and remember them; returns those that the next call is to try again.

        On disk a score is kept as soon as it is known, with those that came with it. A failure waits until a success
        shows that it is not the function's; and a NaN, which is an error where it is used, is not kept.
        """

        def keep(found: dict[int, Any]) -> None:
            for place, result in found.items():
                if not isinstance(result, Failure):
                    self._works = True
                    if not math.isnan(result):
                        self._unsaved[texts[place]] = (result, None)
                elif result.cause == ITEM:
                    self._unsaved[texts[place]] = (None, result.why)
            self._save()

        results = dict(zip(texts, self._apply(texts, keep)))
        failed = {text: result for text, result in results.items() if isinstance(result, Failure)}
        self._check_function({text: failure.why for text, failure in failed.items()})
        for text, result in results.items():
            self._scores[text] = self.failure_score if isinstance(result, Failure) else result
        for text, failure in failed.items():
            self._fail(text, failure.why, self.failure_score)
        self._count(scored=len(texts))
        return [text for text, failure in failed.items() if failure.cause == MACHINE]

    def _apply(self, texts: list[str], keep: Callable[[dict[int, Any]], None]) -> list[Any]:
        """The score of every object, or a `Failure`; `keep` is told, by place, what is known so far."""
        return self._workers.map(
            partial(_score, read=self.codec.read, function=self.function), texts, self.per_task, keep
        )

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
        raise RuntimeError(f"function: it failed on all of the first {number} {self.codec.noun}s; {reason}")

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
        shown = printable(what) if len(what) <= LONGEST_REASON else f"{printable(what)[:LONGEST_REASON]}…"
        logger.warning("%s could not be scored and gets %g: %s", shown, score, printable(why))

    def _count(self, **more: int) -> None:
        self.counts = Counts(**{name: count + more.get(name, 0) for name, count in vars(self.counts).items()})


def _score(text: str, read: Callable[[str], Any], function: Callable[[Any], float]) -> float:
    return float(function(read(text)))


def _forget(memory: dict, passing: Iterable, size: int) -> None:
    """Drop what is not to be remembered, and the oldest where there are too many."""
    for key in passing:
        memory.pop(key, None)
    for key in list(islice(memory, max(0, len(memory) - size))):
        del memory[key]
