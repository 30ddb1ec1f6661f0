"""What failed, and for how long that holds: for good, for this run, or for this call."""

import errno
import subprocess
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch
from pebble import ProcessExpired

from svlearn.scoring.failures import ITEM, MACHINE, WORKER, Failure, failure_of, failure_of_worker


def caused(error: Exception, cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception as before:
            raise error from before
    except Exception as found:
        return found


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("no conformer"), ITEM),
        (RuntimeError("bad valence"), ITEM),
        (SystemExit(2), ITEM),
        (GeneratorExit(), ITEM),
        (subprocess.CalledProcessError(1, "dock"), ITEM),
        (KeyboardInterrupt(), WORKER),
        (TimeoutError("late"), WORKER),
        (subprocess.TimeoutExpired("dock", 3), WORKER),
        (MemoryError(), MACHINE),
        (OSError(errno.ENOSPC, "No space left on device"), MACHINE),
        (FileNotFoundError("dock"), MACHINE),
        (ConnectionResetError(), MACHINE),
        (ModuleNotFoundError("dock"), MACHINE),
        (subprocess.CalledProcessError(-9, "dock"), MACHINE),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), MACHINE),
        (RuntimeError("std::bad_alloc"), MACHINE),
        (caused(ValueError("no pose"), OSError(errno.ENOSPC, "full")), MACHINE),
        (caused(ValueError("no pose"), KeyError("kind")), ITEM),
    ],
)
def test_an_exception_says_how_long_its_failure_holds(error, cause):
    assert failure_of(error).cause == cause


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TimeoutError("Task timeout", 3.1), Failure("no result within 3 seconds", WORKER)),
        (ProcessExpired("died", code=-11), Failure("the worker process died with exit code -11", WORKER)),
        (ProcessExpired("died", code=3), Failure("the worker process died with exit code 3", WORKER)),
        (ProcessExpired("died", code=-9), Failure("the worker process died with exit code -9", MACHINE)),
        (ProcessExpired("died", code=15), Failure("the worker process died with exit code 15", MACHINE)),
        (BrokenProcessPool("gone"), Failure("BrokenProcessPool: gone", MACHINE)),
    ],
)
def test_what_the_pool_tells_is_none_of_the_item(error, failure):
    assert failure_of_worker(error, timeout=3.0) == failure


def test_a_reason_is_text_that_a_file_takes():
    assert failure_of(ValueError("of \ud800")).why == "ValueError: of \\ud800"
    assert failure_of(Unreadable()).why == "Unreadable: (its message cannot be read)"
    assert len(failure_of(ValueError("x" * 10**6)).why) == 500
