"""Score many molecules in a pool of worker processes, each distinct molecule once, whatever some of them do.

A molecule that crashes its worker or hangs costs itself a score, not the run. What is known is kept on two levels:
graph -> canonical SMILES -> score, so that no graph is built twice, and no molecule scored twice.
"""

import logging
import math
import multiprocessing
import os
import pickle
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from pebble import ProcessExpired, ProcessPool
from rdkit import Chem, rdBase
from tensordict import TensorDict

from svlearn.domains.molecules.codec import build, largest_piece
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND

GRAPHS_PER_TASK, MOLECULES_PER_TASK, MAX_WORKERS = 256, 32, 16
MAX_GRAPHS = 1_000_000  # about 200 MB; the scores of molecules are never dropped
PATIENCE = 8  # as many failures before the first success are the function's fault, not the molecules'

logger = logging.getLogger(__name__)


class Scorer:
    """function(molecule) of finished graphs, computed in parallel, remembered, and safe from crashes and hangs.

    function: a callable RDKit Mol -> float that can be pickled (a function of a module); it runs in the workers, on
    one connected molecule in canonical form, so the score does not depend on how the atoms are numbered.
    correct: repair valences first (`codec.build`), so that every graph with an atom is scored. Otherwise an invalid
    graph gets `invalid_score`, and a disconnected one is scored by its largest piece (as GDSS, arXiv 2202.02514). A
    graph without atoms gets `invalid_score` always.
    num_workers: default, the cores this process may use, at most 16. timeout: seconds that one molecule may take. One
    that takes longer, kills its worker or raises gets `failure_score`; `failures` lists these as (SMILES, why).

    The pool starts at the first call and ends with `close()`, the scorer or the program; a copy or a pickle of a
    scorer keeps what is known and starts its own.
    Raises TypeError where function is not a callable that can be pickled, ValueError for num_workers < 1 and
    timeout <= 0; a call raises ValueError for undecided graphs, and RuntimeError where the first molecules all fail.
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
    ):
        if not callable(function):
            raise TypeError(f"function: expected a callable of RDKit molecules, got {type(function).__name__}")
        try:
            pickle.dumps(function)
        except Exception as error:
            raise TypeError(f"function: expected one that can be pickled, as a module's functions; {error}") from error
        self.function, self.correct = function, correct
        self.invalid_score, self.failure_score = invalid_score, failure_score
        self.failures: list[tuple[str, str]] = []
        self._workers = Workers(num_workers, timeout)
        self._smiles: dict[bytes, str | None] = {}
        self._scores: dict[str, float] = {}

    def __call__(self, graphs: TensorDict) -> list[float]:
        """The score of every finished graph (B,), in their order."""
        return self.score(self.smiles(graphs))

    def smiles(self, graphs: TensorDict) -> list[str | None]:
        """The canonical SMILES of what is scored of every finished graph (B,), None for what has no molecule."""
        rows = rows_of(graphs)
        if len(self._smiles) > MAX_GRAPHS:
            self._smiles.clear()
        new = [row for row in dict.fromkeys(rows) if row not in self._smiles]
        if new:
            num_atoms = graphs["atoms"].shape[1]
            read = partial(canonical_smiles, num_atoms=num_atoms, correct=self.correct)
            for row, (smiles, why) in zip(new, self._workers.map(read, new, GRAPHS_PER_TASK)):
                self._smiles[row] = smiles
                if why is not None:
                    self._fail(f"graph {list(row)}", why, self.invalid_score)
        return [self._smiles[row] for row in rows]

    def score(self, smiles: Sequence[str | None]) -> list[float]:
        """The scores of molecules given as canonical SMILES, in their order; None has `invalid_score`."""
        new = [text for text in dict.fromkeys(smiles) if text is not None and text not in self._scores]
        if new:
            results = self._workers.map(partial(score_smiles, function=self.function), new, MOLECULES_PER_TASK)
            reasons = [why for _, why in results if why is not None]
            if len(reasons) == len(new) >= PATIENCE and not self._scores:
                raise RuntimeError(f"function: it failed on all of the first {len(new)} molecules; {reasons[0]}")
            for text, (score, why) in zip(new, results):
                self._scores[text] = score if why is None else self.failure_score
                if why is not None:
                    self._fail(text, why, self.failure_score)
        return [self.invalid_score if text is None else self._scores[text] for text in smiles]

    @property
    def known(self) -> int:
        """How many distinct molecules have been scored and are remembered."""
        return len(self._scores)

    def forget(self) -> None:
        """Empty both caches, so that what is timed next pays for its own scores; `failures` stay listed."""
        self._smiles.clear()
        self._scores.clear()

    def close(self) -> None:
        """End the worker processes; a later call starts new ones."""
        self._workers.close()

    def _fail(self, what: str, why: str, score: float) -> None:
        self.failures.append((what, why))
        logger.warning("%s could not be scored and gets %g: %s", what, score, why)


class Workers:
    """Processes that apply a function to many items; an item that breaks its process spoils no other item."""

    def __init__(self, num_workers: int | None = None, timeout: float = 10.0):
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers: expected None or an integer of at least 1, got {num_workers}")
        if not timeout > 0:
            raise ValueError(f"timeout: expected seconds above 0, got {timeout}")
        self.num_workers = min(_num_cores(), MAX_WORKERS) if num_workers is None else num_workers
        self.timeout = timeout
        self._pool: ProcessPool | None = None
        self._closer: weakref.finalize | None = None

    def map(self, function: Callable[[Any], Any], items: Sequence, per_task: int) -> list[tuple[Any, str | None]]:
        """(function(item), None) of every item, or (None, why it failed), in their order.

        A task takes at most `per_task` items, and gives back the rest after a tenth of the timeout: so an item has
        the whole timeout for itself. The items of a task that died are tried again one by one.
        """
        size = max(1, min(per_task, math.ceil(len(items) / (4 * self.num_workers))))
        results: list[tuple[Any, str | None]] = [(None, None)] * len(items)
        pending = [list(range(start, min(start + size, len(items)))) for start in range(0, len(items), size)]
        budget = 0.1 * self.timeout
        while pending:
            pool = self._running()
            tasks = [[function, [items[i] for i in part], budget] for part in pending]
            futures = [pool.schedule(_apply, args=task, timeout=budget + self.timeout) for task in tasks]
            parts, pending = pending, []
            for part, future in zip(parts, futures):
                try:
                    done = future.result()
                except Exception as error:  # whatever the pool tells of a dead or late worker
                    if len(part) > 1:
                        pending += [[i] for i in part]
                    else:
                        results[part[0]] = (None, self._reason(error))
                    continue
                for i, result in zip(part, done):
                    results[i] = result
                if len(done) < len(part):
                    pending.append(part[len(done) :])
        return results

    def close(self) -> None:
        """End the processes; `map` starts new ones."""
        if self._closer is not None:
            self._closer()
        self._pool = self._closer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None, "_closer": None}

    def _running(self) -> ProcessPool:
        if self._pool is None or not self._pool.active:  # nor is one that this process inherited by a fork
            # fork, so that a script needs no __main__ guard; elsewhere than on Linux the system's own way is safer
            context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
            self.close()
            self._pool = ProcessPool(self.num_workers, initializer=_quiet, context=context)
            self._closer = weakref.finalize(self, _stop, self._pool, os.getpid())
        return self._pool

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no result within {self.timeout:g} seconds"
        if isinstance(error, ProcessExpired):
            return f"the worker process died with exit code {error.exitcode}"
        return f"{type(error).__name__}: {error}"


def rows_of(graphs: TensorDict) -> list[bytes]:
    """Each finished graph as bytes: n atoms, P bonds, n flags of the mask; ValueError where something is masked."""
    atoms, bonds, mask = graphs["atoms"], graphs["bonds"], graphs["mask"]
    undecided = (atoms == MASKED_ATOM).any(1) | (bonds == MASKED_BOND).any(1)
    if bool(undecided.any()):
        index = int(undecided.nonzero()[0])
        raise ValueError(f"graphs: expected finished graphs, got one with masked atoms or bonds at index {index}")
    table = torch.cat([atoms, bonds, mask], dim=1).to(torch.int8).cpu().numpy()
    content, width = table.tobytes(), table.shape[1]
    return [content[start : start + width] for start in range(0, len(content), width)]


def canonical_smiles(row: bytes, num_atoms: int, correct: bool) -> str | None:
    """The molecule of one of `rows_of`, its largest connected piece, as canonical SMILES; None where there is none."""
    atoms, bonds, mask = row[:num_atoms], row[num_atoms:-num_atoms], row[-num_atoms:]
    molecule = build(list(atoms), list(bonds), [flag != 0 for flag in mask], correct=correct)
    return None if molecule is None else Chem.MolToSmiles(largest_piece(molecule))


def score_smiles(smiles: str, function: Callable[[Chem.Mol], float]) -> float:
    """function of the molecule that a SMILES describes."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"RDKit does not read the SMILES {smiles}")
    return float(function(molecule))


def _apply(function: Callable[[Any], Any], items: Sequence, budget: float) -> list[tuple[Any, str | None]]:
    """What `Workers.map` wants, for the first items: as many as start within `budget` seconds, at least one."""
    start = time.monotonic()
    results: list[tuple[Any, str | None]] = []
    for item in items:
        try:
            results.append((function(item), None))
        except Exception as error:
            results.append((None, f"{type(error).__name__}: {error}"))
        if time.monotonic() - start > budget:
            break
    return results


def _quiet() -> None:
    rdBase.DisableLog("rdApp.*")  # in a worker, an invalid graph is an answer and no news


def _stop(pool: ProcessPool, owner: int) -> None:
    if owner == os.getpid():  # a forked child sees the pool too, and must leave its parent's workers alone
        pool.stop()
        pool.join()


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else multiprocessing.cpu_count()
