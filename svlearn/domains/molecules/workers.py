"""Worker processes that apply a function to many items, whatever some of the items do to them."""

import math
import multiprocessing
import os
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from typing import Any

from pebble import ProcessExpired, ProcessPool
from rdkit import rdBase

MAX_WORKERS = 16


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

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence,
        per_task: int,
        done: Callable[[int, Any, str | None], None] | None = None,
    ) -> list[tuple[Any, str | None]]:
        """(function(item), None) of every item, or (None, why it failed), in their order.

        done: called in this process as (place, result, why) as soon as the result of an item is known.
        A task takes at most `per_task` items, and gives back the rest after a tenth of the timeout: so an item has
        the whole timeout for itself. The items of a task that died are tried again one by one.
        """
        size = max(1, min(per_task, math.ceil(len(items) / (4 * self.num_workers))))
        results: list[tuple[Any, str | None]] = [(None, None)] * len(items)
        pending = [list(range(start, min(start + size, len(items)))) for start in range(0, len(items), size)]
        budget = 0.1 * self.timeout
        while pending:
            pool, tasks = self._running(), dict[Future, list[int]]()
            for part in pending:
                given = [function, [items[i] for i in part], budget]
                tasks[pool.schedule(_apply, args=given, timeout=budget + self.timeout)] = part
            pending = []
            for future in as_completed(tasks):
                part = tasks[future]
                try:
                    finished = future.result()
                except Exception as error:  # whatever the pool tells of a dead or late worker
                    if len(part) > 1:
                        pending += [[i] for i in part]
                        continue
                    finished = [(None, self._reason(error))]
                for i, result in zip(part, finished):
                    results[i] = result
                    if done is not None:
                        done(i, *result)
                if len(finished) < len(part):
                    pending.append(part[len(finished) :])
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
