"""Workers on a cluster: tasks go to any `concurrent.futures` executor, and each of its processes guards the items."""

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from svlearn.scoring.failures import MACHINE, Failure, failure_of_worker, text_of
from svlearn.scoring.workers import MAX_WORKERS, Workers


class ExecutorWorkers(Workers):
    """`Workers` whose tasks an executor carries out: of dask.distributed, mpi4py, the standard library.

    Each process, and each thread, of the executor applies the function in one process of its own, where time limits,
    crashes and the end of programs are what they are in `Workers`. A task whose host dies counts as ended by somebody
    else: its items are tried again one by one.

    num_workers: at how many items the executor works at once, by which tasks are cut; default, what it says of itself,
    else 16. `close()` leaves the executor, which is its owner's, as it is. A copy has the same executor; a pickle has
    none, and its workers are of the process that reads it.
    Raises TypeError for what has no `submit`; `map` raises RuntimeError where the executor takes no more tasks.
    """

    def __init__(
        self,
        executor: Executor,
        num_workers: int | None = None,
        timeout: float = 10.0,
        prepare: Callable[[], None] | None = None,
    ):
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor: expected a concurrent.futures.Executor, got {type(executor).__name__}")
        most = getattr(executor, "_max_workers", None)
        super().__init__(most or MAX_WORKERS if num_workers is None else num_workers, timeout, prepare)
        self.executor = executor
        self.limits = pickle.dumps((self.timeout, prepare))  # the same bytes at each task; what is read of them is not

    def close(self) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "ExecutorWorkers":
        return ExecutorWorkers(self.executor, self.num_workers, self.timeout, self.prepare)

    def __reduce__(self) -> tuple[Any, ...]:
        return Workers, (None, self.timeout, self.prepare)

    def _works_here(self) -> bool:
        return False

    def _schedule(self, function: Callable[[Any], Any], items: Sequence) -> Future:
        try:
            return self.executor.submit(_guarded, function, items, self.limits)
        except Exception as error:
            name = type(self.executor).__name__
            raise RuntimeError(f"executor: this {name} takes no more tasks; {type(error).__name__}: {error}") from error

    def _outcome(self, task: Future) -> list[Any] | Failure:
        try:
            return task.result()
        except Exception as error:  # `_guarded` raises nothing: a host died, or the executor ended
            return Failure(text_of(error), MACHINE)


_own = threading.local()  # of each thread of an executor's process, the `Workers` of one process that it applies


def _guarded(function: Callable[[Any], Any], items: Sequence, limits: bytes) -> list[Any] | Failure:
    """In a process of the executor: the results of the first items, or what ended the process that they were given."""
    if getattr(_own, "limits", None) != limits:
        timeout, prepare = pickle.loads(limits)
        if hasattr(_own, "workers"):
            _own.workers.close()
        # A daemonic process, as dask's are, may start none lest they outlive it; ours end with whoever started them.
        multiprocessing.current_process()._config.update(daemon=False)  # type: ignore[attr-defined]
        # not by fork: an executor's process has threads, whose locks a child would find taken
        _own.workers, _own.limits = Workers(1, timeout, prepare, start_method="spawn"), limits
    try:
        return _own.workers.once(function, items)
    except Exception as error:
        return failure_of_worker(error, _own.workers.timeout)
