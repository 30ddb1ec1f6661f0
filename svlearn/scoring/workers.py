"""Worker processes that apply a function to many items, whatever some of the items do to them."""

import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from multiprocessing.util import Finalize
from queue import Empty, SimpleQueue
from typing import Any

from pebble import ProcessPool

from svlearn.arguments import integer, is_number
from svlearn.scoring.failures import MACHINE, Failure, failure_of, failure_of_worker
from svlearn.scoring.worker_process import begin

MAX_WORKERS = 16
REPORT_INTERVAL = 0.2  # seconds between two reports of what is known
TRIES = 2  # of an item whose worker somebody else ended

logger = logging.getLogger(__name__)


class Workers:
    """Processes that apply a function to many items; an item that breaks its process spoils no other item.

    The workers end with this process, also where it is killed, and the programs that they started end with them. A
    daemonic process, which may start no others, applies the function itself: without a time limit, and without
    protection from a crash.
    prepare: what each worker calls first. start_method: how processes are started, as `multiprocessing` names it;
    default, a fork on Linux, so that a script needs no __main__ guard, and elsewhere the system's own way.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        timeout: float = 10.0,
        prepare: Callable[[], None] | None = None,
        *,
        start_method: str | None = None,
    ):
        if num_workers is not None:
            try:
                num_workers = integer(num_workers, "num_workers")
            except ValueError as error:
                wanted = "expected None or an integer of at least 1"
                raise ValueError(f"num_workers: {wanted}, got {num_workers}") from error
        if not is_number(timeout):
            raise TypeError(f"timeout: expected seconds above 0, got {type(timeout).__name__}")
        if not timeout > 0:
            raise ValueError(f"timeout: expected seconds above 0, got {timeout}")
        self.num_workers = min(_num_cores(), MAX_WORKERS) if num_workers is None else num_workers
        self.timeout = float(timeout)
        self.prepare = prepare
        self.start_method = "fork" if start_method is None and sys.platform == "linux" else start_method
        self._pool: ProcessPool | None = None
        self._closer: Finalize | None = None
        self._owner = 0  # the process that started the pool

    def map(
        self,
        function: Callable[[Any], Any],
        items: Sequence,
        per_task: int,
        done: Callable[[dict[int, Any]], None] | None = None,
    ) -> list[Any]:
        """function(item) of every item, or a `Failure`, in their order.

        done: called in this process with what is newly known, {place: result or `Failure`}, a few times a second.
        A task takes at most `per_task` items, and gives back the rest after a tenth of the timeout: so an item has
        the whole timeout for itself. The items of a task that died are tried again one by one, and one whose worker
        was killed from outside once more.
        """
        if self._works_here():
            return self._map_here(function, items, done)
        size = max(1, min(per_task, math.ceil(len(items) / (4 * self.num_workers))))
        results: list[Any] = [None] * len(items)
        pending = [list(range(start, min(start + size, len(items)))) for start in range(0, len(items), size)]
        tries: Counter[int] = Counter()
        while pending:
            again: list[list[int]] = []
            with closing(self._run(function, items, pending)) as reports:
                for report in reports:
                    known: dict[int, Any] = {}
                    for part, outcome in report:
                        if isinstance(outcome, Failure) and (
                            len(part) > 1 or self._worth_another(part[0], outcome, tries)
                        ):
                            again += [[i] for i in part]
                            continue
                        finished = [outcome] if isinstance(outcome, Failure) else outcome
                        known |= dict(zip(part, finished))
                        if len(finished) < len(part):
                            again.append(part[len(finished) :])
                    for i, result in known.items():
                        results[i] = result
                    if known and done is not None:
                        done(known)
            pending = again
        return results

    @staticmethod
    def _worth_another(item: int, failure: Failure, tries: Counter[int]) -> bool:
        """Whether an item that had a worker for itself, which somebody else ended, has tries left."""
        tries[item] += 1
        return failure.cause == MACHINE and tries[item] < TRIES

    def close(self) -> None:
        """End the processes; `map` starts new ones."""
        if self._closer is not None:
            self._closer()
        self._pool = self._closer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pool": None, "_closer": None}

    def _run(
        self, function: Callable[[Any], Any], items: Sequence, parts: list[list[int]]
    ) -> Generator[list[tuple[list[int], list[Any] | Failure]], None, None]:
        """Schedule a task for each part of the items; yields, a few times a second, which ended and how."""
        ended, tasks = SimpleQueue[Future](), dict[Future, list[int]]()
        try:
            for part in parts:
                task = self._schedule(function, [items[i] for i in part])
                tasks[task] = part
                task.add_done_callback(ended.put)
            while tasks:
                futures, deadline = [ended.get()], time.monotonic() + REPORT_INTERVAL
                while len(futures) < len(tasks):
                    try:
                        futures.append(ended.get(timeout=max(0.0, deadline - time.monotonic())))
                    except Empty:
                        break
                yield [(tasks.pop(future), self._outcome(future)) for future in futures]
        finally:  # where the caller was interrupted, nobody wants the rest
            for unwanted in tasks:
                unwanted.cancel()

    def once(self, function: Callable[[Any], Any], items: Sequence) -> list[Any]:
        """The results of as many first items as one task takes; raises what ended its process."""
        return self._schedule(function, items).result()

    def _works_here(self) -> bool:
        """Whether this process applies the function itself."""
        return multiprocessing.current_process().daemon

    def _schedule(self, function: Callable[[Any], Any], items: Sequence) -> Future:
        """A task that gives the results of as many first items as start within a tenth of the time limit."""
        budget = 0.1 * self.timeout
        return self._running().schedule(_apply, args=[function, items, budget], timeout=budget + self.timeout)

    def _outcome(self, task: Future) -> list[Any] | Failure:
        try:
            return task.result()
        except Exception as error:  # whatever the pool tells of a dead or late worker
            return failure_of_worker(error, self.timeout)

    def _map_here(
        self, function: Callable[[Any], Any], items: Sequence, done: Callable[[dict[int, Any]], None] | None
    ) -> list[Any]:
        logger.warning(
            "this process is daemonic and may start no workers: it works alone, without the time limit of %g seconds; "
            "start it with daemon=False to have workers",
            self.timeout,
        )
        results = apply_here(function, items)
        if done is not None and results:
            done(dict(enumerate(results)))
        return results

    def _running(self) -> ProcessPool:
        # one that this process inherited by a fork is not even asked: a thread may have held its lock at that moment
        if self._pool is None or self._owner != os.getpid() or not self._pool.active:
            context = multiprocessing.get_context(self.start_method)
            self.close()
            first = (os.getpid(), self.prepare)
            self._pool = ProcessPool(self.num_workers, initializer=begin, initargs=first, context=context)
            # of multiprocessing, as a process that it started runs no others, and would wait for the pool without end
            self._owner = os.getpid()
            self._closer = Finalize(self, _stop, (self._pool, self._owner), exitpriority=0)
        return self._pool


def apply_here(function: Callable[[Any], Any], items: Sequence) -> list[Any]:
    """function(item) of every item in this process, or a `Failure`: whatever an item raises is its own failure.

    KeyboardInterrupt is too, unless the user has sent it.
    """
    results = []
    with _interrupts() as user_interrupted:
        for item in items:
            try:
                results.append(function(item))
            except BaseException as error:
                if user_interrupted():
                    raise
                results.append(failure_of(error))
    return results


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether the user has sent SIGINT since the block began; signals come to the main thread alone."""
    before, sent = signal.getsignal(signal.SIGINT), []
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        sent.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(sent)
    finally:
        signal.signal(signal.SIGINT, before)


def _apply(function: Callable[[Any], Any], items: Sequence, budget: float) -> list[Any]:
    """What `Workers.map` wants, for the first items: as many as start within `budget` seconds, at least one."""
    start = time.monotonic()
    results: list[Any] = []
    for item in items:
        try:
            results.append(function(item))
        except BaseException as error:  # the user's interrupt does not come to a worker
            results.append(failure_of(error))
        if time.monotonic() - start > budget:
            break
    return results


def _stop(pool: ProcessPool, owner: int) -> None:
    if owner == os.getpid():  # a forked child sees the pool too, and must leave its parent's workers alone
        pool.stop()
        pool.join()


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else multiprocessing.cpu_count()
