"""Texts out of gzip files, tar archives and pairs of files of others, within a limit: what a small file unpacks to may
have no end."""

import csv
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


def measured_designs(designs: Path, measured: Path) -> bytes:
    """The table of a FASTA file of designed sequences and a packed one of their measurements, a row a replicate: each
    sequence that was measured with the mean of its replicates and the least number of its barcodes.

    Raises ValueError for what is none of these.
    """
    try:
        sequences = dict(each.split("\n", 1) for each in designs.read_text().split(">")[1:])
        replicates: dict[str, list[tuple[float, int]]] = {}
        for row in csv.DictReader(io.StringIO(b"".join(_pieces(measured)).decode()), delimiter="\t"):
            entry = float(row["log2FoldChange"]), int(row["n_bc"])
            replicates.setdefault(row["oligo_name"], []).append(entry)
    except (*DAMAGED, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{designs.name}: expected a FASTA file and its measurements, got others ({error})") from error
    lines = ["name\tsequence\tlog2_rna_dna_mean\tn_replicates\tmin_barcodes"]
    for name, entries in replicates.items():
        if name in sequences:
            mean, least = sum(each for each, _ in entries) / len(entries), min(number for _, number in entries)
            sequence = "".join(sequences[name].split()).upper()
            lines.append(f"{name}\t{sequence}\t{mean:.4f}\t{len(entries)}\t{least}")
    return "".join(f"{line}\n" for line in lines).encode()


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
