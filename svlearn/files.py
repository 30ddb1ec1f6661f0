"""Files that are whole or not there, and folders that one process writes at a time."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile, mkstemp

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


def existing(path: str | os.PathLike, kind: str) -> Path:
    """The path of a file to read, ~ in full; `kind` is what it should be, in words.

    Raises FileNotFoundError where there is nothing, ValueError where there is something that is no file.
    """
    path = user_path(path)
    if path.is_file():
        return path
    if path.exists():
        raise ValueError(f"{path}: expected {kind}, got {'a folder' if path.is_dir() else 'what is no file'}")
    raise FileNotFoundError(f"{path}: no such file; expected {kind}")


def sha256_of(path: str | os.PathLike) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def writable(folder: str | os.PathLike, setting: str) -> Path:
    """A folder, made where it is missing, ~ in full, to be asked for before work that ends there.

    Raises ValueError, naming the `setting` that the folder comes from, where no file can be written to it.
    """
    try:
        folder = user_path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:
        raise ValueError(f"{setting}: expected a folder that can be written, got {str(folder)!r} ({error})") from error


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
