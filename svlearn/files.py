"""Files that are whole or not there, and folders that one process writes at a time."""

import errno
import hashlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile, mkstemp

try:
    import fcntl
except ImportError:  # Windows has none: there, who writes is not guarded
    fcntl = None  # type: ignore[assignment]

NOT_SUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # by a file system
BLOCK = bytes(1 << 20)

logger = logging.getLogger(__name__)
_held: set[int] = set()  # descriptors of the locks of this process


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
    """Write text (UTF-8; of half a surrogate pair its escape, as \\ud800) as `replacing` does; returns the path."""
    path = Path(path)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")
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
def explained(path: str | os.PathLike, wanted: str) -> Iterator[None]:
    """An OSError of the block says what was wanted at the path, in its own class: PermissionError, NotADirectoryError
    and so on."""
    try:
        yield
    except BlockingIOError:  # which says who is at work there
        raise
    except OSError as error:
        raise OSError(error.errno, f"expected {wanted} ({error.strerror})", str(path)) from error


@contextmanager
def locked(file: str | os.PathLike, held: str, *, wait: bool = False) -> Iterator[bool]:
    """Hold the exclusive lock of a file while the block runs; `held` names what it guards.

    The system frees it when its holder dies, whatever killed it; what a holder forks holds nothing. Two holders in one
    process exclude each other as well. wait: until the other one is done, with a message that names it; otherwise
    raises BlockingIOError, which does too. The file stays: to remove it would let two hold it.
    Yields whether it is held: where the file system has no locks, a RuntimeWarning says that nobody is kept out.
    """
    descriptor, is_held = _lock(Path(file), held, wait)
    _held.add(descriptor)
    try:
        yield is_held
    finally:
        if descriptor in _held:  # else this is a fork, and it was closed
            _held.discard(descriptor)
            if is_held and fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # in a process that was forked in another way too
            os.close(descriptor)


def _lock(file: Path, held: str, wait: bool) -> tuple[int, bool]:
    while True:
        with explained(file, f"a folder where files can be made, to write {held}; choose another path"):
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_held = _flock(descriptor, file, held, wait)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                    with suppress(OSError):  # a full disk, where the lock is held nevertheless
                        os.ftruncate(descriptor, 0)
                        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                    return descriptor, is_held
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # somebody removed the file: its lock keeps nobody out


def _flock(descriptor: int, file: Path, held: str, wait: bool) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        who = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        if not wait:
            raise BlockingIOError(
                f"{held}: expected to be its only writer, got another one at work there, {who}; wait until it is done, "
                "or write to another path"
            ) from error
        logger.warning("%s: waiting until %s is done, which writes there", held, who)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        why = f"{file}: its file system has no locks ({error.strerror})"
        warnings.warn(f"{why}; see to it that one process alone writes {held}", RuntimeWarning, stacklevel=6)
        return False
    return True


def _release_in_fork() -> None:
    """Close what a fork has inherited, or a lock would live as long as any worker of a holder that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_fork)


def allocate(file: str | os.PathLike, size: int) -> None:
    """Make a file of `size` bytes, new ones 0, that are all on the disk: a full one is an OSError here and not, as in a
    map of a file with holes, a bus error where it is written."""
    with Path(file).open("r+b" if Path(file).exists() else "x+b") as opened:
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
