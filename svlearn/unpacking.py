"""Texts out of gzip files and tar archives of others, within a limit: what a small file unpacks to may have no end."""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

MAX_TEXT = 2**27  # bytes, of a text or of an archive that is unpacked
PIECE = 2**20
DAMAGED = (OSError, EOFError, zlib.error)  # what gzip makes of a file that is cut, damaged or of another kind


def text_sha256(path: Path) -> str | None:
    """SHA-256 (hex) of the text in a gzip file; None for a file that is damaged or none, or a text beyond MAX_TEXT."""
    hasher = hashlib.sha256()
    try:
        for piece in _pieces(path):
            hasher.update(piece)
    except (*DAMAGED, ValueError):
        return None
    return hasher.hexdigest()


def only_text(path: Path) -> bytes:
    """The one file in a tar archive, plain or packed with gzip.

    Raises ValueError where it is no tar archive, or one of more or fewer files, and beyond MAX_TEXT.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        pieces = _pieces(path) if packed else iter([_bounded(path)])
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), mode="r:") as tar:
            files = [member for member in tar if member.isfile()]
            text = tar.extractfile(files[0]) if len(files) == 1 and files[0].size <= MAX_TEXT else None
            if text is None:
                raise ValueError(f"{path.name}: expected an archive of one file, got one of {len(files)}")
            return text.read()
    except (tarfile.TarError, *DAMAGED) as error:
        raise ValueError(f"{path.name}: expected a tar archive, got what is none ({error})") from error


def _pieces(path: Path) -> Iterator[bytes]:
    total = 0
    with gzip.open(path) as text:
        while piece := text.read(PIECE):
            total += len(piece)
            if total > MAX_TEXT:
                raise ValueError(f"{path.name}: expected a text of at most {MAX_TEXT} bytes, got a longer one")
            yield piece


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > MAX_TEXT:
        raise ValueError(f"{path.name}: expected a text of at most {MAX_TEXT} bytes, got a longer one")
    return path.read_bytes()
