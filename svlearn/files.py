"""Files that are whole or not there, and folders that one process writes at a time."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

try:
    import fcntl
except ImportError:  # Windows has none: there, who writes is not guarded
    fcntl = None  # type: ignore[assignment]


def user_path(path: str | os.PathLike) -> Path:
    """A path as a user writes it, with ~ in full; ValueError where the home of ~ is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"path: expected one whose home folder is known (set HOME), got {str(path)!r}") from error


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A new name beside `path` to write to. What was written takes the place of `path` in one step when the block ends
    well, flushed to the disk before, and is removed when it does not: a reader or a crash sees the old file or the new
    one. Makes missing folders; every writer has a name of its own."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    beside = Path(name)
    try:
        yield beside
        os.chmod(beside, 0o666 & ~_umask())  # mkstemp's file is its owner's alone
        sync(beside)
        os.replace(beside, path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write(path: str | os.PathLike, text: str) -> Path:
    """Write text (UTF-8) as `replacing` does; returns the path."""
    path = Path(path)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return path


def check_writable(path: str | os.PathLike, option: str) -> Path:
    """See, before any work, that a file can be written there, in a folder that is made where it is missing; returns the
    path, with ~ in full. Raises ValueError that names the option to set."""
    full = user_path(path)
    try:
        if full.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        full.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = mkstemp(prefix=f".{full.name}.", suffix=".part", dir=full.parent)
        os.close(descriptor)
        os.unlink(name)
    except OSError as error:
        raise ValueError(f"{option}: expected a file that can be written, got {full} ({error.strerror})") from error
    return full


@contextmanager
def locked(file: str | os.PathLike, held: str) -> Iterator[None]:
    """Hold the exclusive lock of a file while the block runs; `held` names what it guards.

    The system frees it when its holder dies, whatever killed it. Two holders in one process exclude each other as well.
    Raises BlockingIOError where another one holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    f"{held}: expected to be its only writer, got another one at work there; wait until it is done, "
                    "or write to another path"
                ) from error
        yield
    finally:
        os.close(descriptor)  # and with it the lock


def sync(path: Path) -> None:
    """Wait until a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
