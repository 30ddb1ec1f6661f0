"""Why an item has no result, and how long that holds: for good, for this run, or for this call."""

import signal
import subprocess
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass

from pebble import ProcessExpired

ITEM, WORKER, MACHINE = "item", "worker", "machine"
# Exit codes of who was ended by somebody else: by SIGKILL, by SIGTERM, and by SIGTERM as the pool's workers take it.
FROM_OUTSIDE = (-9, -signal.SIGTERM, signal.SIGTERM)
OF_THE_MACHINE = ("out of memory", "bad_alloc", "cannot allocate", "no space left", "disk full", "disk is full")
LONGEST_REASON = 500  # characters


@dataclass(frozen=True)
class Failure:
    """Why an item has no result.

    cause: "item": the function raised on it, and would again. "worker": its process was too slow or crashed, which
    another time limit or another machine may change. "machine": memory, a disk, a file or a program was missing, or
    somebody else ended the process; the next try may go well.
    """

    why: str
    cause: str = ITEM


def failure_of(error: BaseException) -> Failure:
    """What an exception that a function raised says of its item."""
    return Failure(text_of(error), _cause(error))


def failure_of_worker(error: BaseException, timeout: float) -> Failure:
    """What the pool's exception says of an item that had a worker for itself."""
    if isinstance(error, TimeoutError):
        return Failure(f"no result within {timeout:g} seconds", WORKER)
    if isinstance(error, ProcessExpired):
        cause = MACHINE if error.exitcode in FROM_OUTSIDE else WORKER
        return Failure(f"the worker process died with exit code {error.exitcode}", cause)
    if isinstance(error, BrokenExecutor):
        return Failure(text_of(error), MACHINE)
    return failure_of(error)


def text_of(error: BaseException) -> str:
    """Kind and message of an exception, as text that any file takes, whatever its message is."""
    try:
        message = str(error)
    except BaseException:
        message = "(its message cannot be read)"
    return printable(f"{type(error).__name__}: {message}")[:LONGEST_REASON]


def printable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 does not know, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _cause(error: BaseException) -> str:
    """Of an exception or of what lies behind it: who raises from a full disk means the full disk."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, TimeoutError | subprocess.TimeoutExpired | KeyboardInterrupt):
            return WORKER
        if isinstance(found, OSError | MemoryError | ImportError) or _says_so(found) or _was_killed(found):
            return MACHINE
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return ITEM


def _says_so(error: BaseException) -> bool:
    """C++ code and torch raise RuntimeErrors for want of memory."""
    message = text_of(error).lower()
    return any(words in message for words in OF_THE_MACHINE)


def _was_killed(error: BaseException) -> bool:
    return isinstance(error, subprocess.CalledProcessError) and error.returncode in FROM_OUTSIDE
