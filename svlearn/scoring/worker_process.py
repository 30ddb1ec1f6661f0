"""A worker that ends with the process that started it, and takes along the programs that it started itself.

Each worker leads a session of its own. A second process, its guard, waits until the worker or the worker's parent
ends, whatever ended it, and then kills what is left of the session. It cannot be held up: a thread would wait for
Python's lock, which compiled code may keep for minutes. On Linux a program that its own parent has left, as a daemon
is, becomes a child of the worker, and so is found whatever session it leads.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

GRACE, INTERVAL = 1.0, 0.2  # seconds that a worker has to end its programs; between two looks, where one must poll
LARGEST_DESCRIPTOR = 65536
PR_SET_CHILD_SUBREAPER = 36  # of <linux/prctl.h>


def begin(parent: int, prepare: Callable[[], None] | None = None) -> None:
    """What a worker does first; `parent` is the process that started the pool, `prepare` what its user wants done."""
    if prepare is not None:
        prepare()
    if not hasattr(os, "fork"):
        return
    os.setsid()
    _adopt_orphans()
    worker = os.getpid()
    guard = os.fork()
    if guard == 0:
        try:
            _guard(worker, parent)
        finally:
            os._exit(0)
    _end_programs_on_sigterm(guard)


def descendants(process: int) -> list[int]:
    """The processes that a process started, and those that these did; none where there is no /proc."""
    children = defaultdict(list)
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = file.read_text(errors="replace").rpartition(")")[2].split()[1]
        except (OSError, IndexError):  # it has ended meanwhile
            continue
        children[int(parent)].append(int(file.parent.name))
    found = list(children[process])
    for each in found:
        found += children[each]
    return found


def _adopt_orphans() -> None:
    """Become the parent of what this process's programs start and leave; one that ends then waits, as a zombie, for
    the end of this process: to ask for its status could take that of another from whoever waits for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_programs_on_sigterm(guard: int) -> None:
    """SIGTERM, by which the pool ends a worker that is late, first kills programs that left the worker's session."""
    before = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        for each in descendants(os.getpid()):
            if each != guard:
                _kill(each)
        if callable(before):
            before(number, frame)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)


def _guard(worker: int, parent: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, LARGEST_DESCRIPTOR)  # the pool's channel and whatever else a reader waits for the end of
    _wait_for_either(worker, parent)
    if os.getppid() == worker:  # so it was the parent
        os.kill(worker, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while os.getppid() == worker and time.monotonic() < deadline:
            time.sleep(0.01)
        if os.getppid() == worker:  # compiled code keeps it from its signals
            for each in descendants(worker):
                if each != os.getpid():
                    _kill(each)
    os.killpg(worker, signal.SIGKILL)  # the guard itself is of the group


def _wait_for_either(worker: int, parent: int) -> None:
    try:
        poll = select.poll()
        for process in (worker, parent):
            poll.register(os.pidfd_open(process), select.POLLIN)  # type: ignore[attr-defined, unused-ignore]
        while os.getppid() == worker and not poll.poll():
            pass
    except (AttributeError, OSError):  # not Linux, or the parent has ended already
        while os.getppid() == worker and _exists(parent):
            time.sleep(INTERVAL)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
