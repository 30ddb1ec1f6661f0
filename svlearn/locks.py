"""Locks of files: one process at a time writes what a file guards, and the system frees what a dead one held."""

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svlearn.files import NOT_SUPPORTED, explained

try:
    import fcntl
except ImportError:  # Windows has none: there, who writes is not guarded
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
QUIET = 1.0  # seconds for which one waits without a word
_held: set[int] = set()  # descriptors of the locks of this process


@contextmanager
def locked(file: str | os.PathLike, content: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the exclusive lock of a file while the block runs; `content` names what it guards.

    The system frees it when its holder dies, whatever killed it; what a holder forks holds nothing. Two holders in one
    process exclude each other as well. wait: until the other one is done, with a message that names it where that
    takes longer than a second; otherwise raises BlockingIOError, which does too. The file stays; who removes it does so
    while it is held, and who waited for it makes it anew.
    Yields whether it is held: where the file system has no locks, a RuntimeWarning says that nobody is kept out.
    """
    descriptor, is_held = _lock(Path(file), content, wait)
    _held.add(descriptor)
    try:
        yield is_held
    finally:
        if descriptor in _held:  # else this is a fork, and it was closed
            _held.discard(descriptor)
            if is_held and fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # in a process that was forked in another way too
            os.close(descriptor)


def _lock(file: Path, content: str, wait: bool) -> tuple[int, bool]:
    while True:
        with explained(file, f"a folder where files can be made, to write {content}; choose another path"):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_held = _flock(descriptor, file, content, wait)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    with suppress(OSError):  # a full disk, where the lock is held nevertheless
                        os.ftruncate(descriptor, 0)
                        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                    return descriptor, is_held
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody removed the file: its lock keeps nobody out


def _flock(descriptor: int, file: Path, content: str, wait: bool) -> bool:
    if fcntl is None:
        return False
    try:
        _try_for(descriptor, QUIET if wait else 0.0)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        if not wait:
            raise BlockingIOError(
                f"{content}: expected to be its only writer, got another one at work there, {owner}; wait until it is "
                "done, or write to another path"
            ) from error
        logger.warning("%s: waiting until %s is done, which writes there", content, owner)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        reason = f"{file}: its file system has no locks ({error.strerror})"
        warnings.warn(f"{reason}; see to it that one process alone writes {content}", RuntimeWarning, stacklevel=6)
        return False
    return True


def _try_for(descriptor: int, seconds: float) -> None:
    """Take the lock within so many seconds; BlockingIOError where another holds it for longer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
        time.sleep(0.002)


def _release_in_fork() -> None:
    """Close what a fork has inherited, or a lock would live as long as any worker of a holder that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_fork)
