"""Files that are whole or not there, and what is seen of a path before anything is written to it."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp

NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # by a file system
BLOCK = bytes(1 << 20)


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
        _temporary_path(folder / "file").unlink()
    except (OSError, ValueError) as error:
        raise ValueError(f"{setting}: expected a folder that can be written, got {str(folder)!r} ({error})") from error
    return folder


def check_writable(path: str | os.PathLike, option: str) -> Path:
    """See, before any work, that a file can be written there, as `writable` sees it of a folder; returns the path, with
    ~ in full. Raises ValueError that names the option to set."""
    try:
        path = user_path(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _temporary_path(path).unlink()
    except (OSError, ValueError) as error:
        raise ValueError(f"{option}: expected a file that can be written, got {path} ({error})") from error
    return path


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A new name beside `path` to write to. What was written takes the place of `path` in one step when the block ends
    well, flushed to the disk before, and is removed when it does not: a reader or a crash sees the old file or the new
    one. Makes missing folders; every writer has a name of its own. An OSError that names no file, as that of a full
    disk, is raised with the path."""
    path = Path(path)
    beside = _temporary_path(path)
    try:
        with _named(path):
            yield beside
        os.chmod(beside, 0o666 & ~_umask())  # mkstemp's file is its owner's alone
        sync(beside)
        os.replace(beside, path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def write(path: str | os.PathLike, text: str) -> Path:
    """Write text (UTF-8; of half a surrogate pair its escape, as \\ud800) as `replacing` does; returns the path."""
    path = Path(path)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


@contextmanager
def explained(path: str | os.PathLike, expected: str) -> Iterator[None]:
    """An OSError of the block says what was wanted at the path, in its own class: PermissionError, NotADirectoryError
    and so on."""
    try:
        yield
    except BlockingIOError:  # which says who is at work there
        raise
    except OSError as error:
        raise OSError(error.errno, f"expected {expected} ({error.strerror})", str(path)) from error


def allocate(file: str | os.PathLike, size: int) -> None:
    """Make a file of `size` bytes, new ones 0, that are all on the disk: a full one is an OSError here and not, as in a
    map of a file with holes, a bus error where it is written."""
    with _named(Path(file)), Path(file).open("r+b" if Path(file).exists() else "x+b") as opened:
        if size > 0 and hasattr(os, "posix_fallocate"):
            try:
                return os.posix_fallocate(opened.fileno(), 0, size)
            except OSError as error:
                if error.errno not in NOT_SUPPORTED:
                    raise
        opened.seek(0)
        place = 0
        while place < size:
            old = opened.read(min(len(BLOCK), size - place))
            opened.seek(place)
            place += opened.write(old or BLOCK[: size - place])
        opened.flush()
        os.fsync(opened.fileno())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An OSError of the block that names no file names this one: that of a full disk comes without."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _temporary_path(path: Path) -> Path:
    """A new file beside `path`, which it will replace, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    return Path(name)


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
