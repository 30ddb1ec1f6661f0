"""What torch wrote before its version 1.6, read by the interpreter of `svlearn.torch_archive`, which calls no code.

The layout: a magic number, the version of the layout and a dict of the machine that wrote it, each a pickle; the pickle
of the content; that of the storages' keys; then of each storage, in this order, the number of its elements, in 8 bytes,
and the elements. It has no checksum: who fetches such a file looks at its SHA-256.
"""

import io
import pickletools
from typing import Any

from svlearn.torch_archive import MAX_BYTES, MAX_PICKLE, NamesCode, Reader, refuse_code

MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
START = MAGIC + bytes.fromhex("80024de9032e")  # and version 1001
COUNT = 8  # bytes


def legacy_content_of(file: bytes) -> Any:
    """As `torch_archive.content_of`, of a file in the older layout.

    Raises NamesCode for one that names more than data need, ValueError for one that is none, is cut, has bytes too many
    or passes a limit, and for one of a big-endian machine.
    """
    if len(file) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    if not file.startswith(START):
        raise ValueError("no file of torch in its older layout")
    try:
        return _read(io.BytesIO(file), len(file))
    except NamesCode:
        raise
    except Exception as error:  # whatever a damaged file makes of the parsers
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read(file: io.BytesIO, size: int) -> Any:
    file.seek(len(START))
    if _plain(_pickle(file)).get("little_endian") is not True:
        raise ValueError("numbers in big-endian order")
    pickled = _pickle(file)
    refuse_code(pickled)
    keys = _plain(_pickle(file))
    sizes = _sizes(pickled, size)
    if sorted(keys) != sorted(sizes):
        raise ValueError("storages that are not those of the content")
    parts = {key: _part(file, *sizes[key]) for key in keys}
    if file.read(1):
        raise ValueError("more bytes than the storages have")
    return Reader(lambda key, num_bytes: parts[key]).run(pickled)


def _sizes(pickled: bytes, size: int) -> dict[str, tuple[int, int]]:
    """Of each storage how many elements and bytes the content says that it has, all bytes together at most `size`."""
    total = 0

    def zeros(key: str, num_bytes: int) -> bytes:
        nonlocal total
        total += num_bytes
        if not 0 <= num_bytes <= total <= size:
            raise ValueError("storages of more bytes than the file has")
        return bytes(num_bytes)

    reader = Reader(zeros)
    reader.run(pickled)
    sizes = {key: (len(storage), storage.nbytes) for (_, key), storage in reader.storages.items()}
    if len(sizes) != len(reader.storages):
        raise ValueError("a storage of two types")
    return sizes


def _part(file: io.BytesIO, length: int, num_bytes: int) -> bytes:
    count, content = int.from_bytes(file.read(COUNT), "little"), file.read(num_bytes)
    if count != length or len(content) != num_bytes:
        raise ValueError(f"a storage of {count} elements and {len(content)} bytes, not {length} and {num_bytes}")
    return content


def _pickle(file: io.BytesIO) -> bytes:
    """The bytes of the pickle that begins here."""
    start = file.tell()
    for _ in pickletools.genops(file):
        pass
    length = file.tell() - start
    if length > MAX_PICKLE:
        raise ValueError(f"a pickle of more than {MAX_PICKLE} bytes")
    file.seek(start)
    return file.read(length)


def _plain(pickled: bytes) -> Any:
    """What a pickle without a tensor holds."""
    refuse_code(pickled)
    return Reader(lambda key, num_bytes: b"").run(pickled)
