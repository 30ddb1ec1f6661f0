"""Encoded graphs on disk, each file keyed by what decides its content: nothing is ever unpickled."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from rdkit import rdBase
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tensordict import TensorDict

from svlearn.domains.molecules.graph import ATOMS, BOND_ORDERS
from svlearn.files import replacing, writable
from svlearn.fingerprint import fingerprint_of_states

FORMAT = 1


def cached(folder: Path, name: str, digest: str, num_atoms: int, encode: Callable[[], TensorDict]) -> TensorDict:
    """The graphs that `encode` makes, from the file in `folder` where an earlier call has left them.

    The file's name, and what it says of itself, hold the SHA-256 of the source, the vocabulary, the number of atoms,
    and the versions of RDKit and of this format; a checksum of the graphs is looked at as well. What differs in any,
    is cut or damaged is made anew. It is written beside and renamed once it is on the disk.
    Raises ValueError, before it encodes, where the folder cannot be written, and where its disk is full.
    """
    decides = {
        "format": FORMAT, "source": digest, "num_atoms": num_atoms, "atoms": ATOMS, "bonds": BOND_ORDERS,
        "rdkit": rdBase.rdkitVersion,
    }  # fmt: skip
    key = json.dumps(decides, sort_keys=True)
    path = folder / f"{name}_{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    stored = _read(path, key)
    if stored is not None:
        return stored
    writable(folder, "cache_dir")
    graphs = encode()
    record = {"key": key, "graphs": fingerprint_of_states(graphs)}
    tensors = {str(field): graphs[field].contiguous() for field in graphs.keys()}  # noqa: SIM118
    try:
        with replacing(path) as beside:
            beside.write_bytes(save(tensors, metadata=record))  # of `save_file`, a full disk may be a signal
    except OSError as error:
        raise ValueError(f"cache_dir: expected room for {path.name}, got {str(folder)!r} ({error})") from error
    return graphs


def _read(path: Path, key: str) -> TensorDict | None:
    """The graphs of a file; None where there is none, or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            record = file.metadata() or {}
            tensors = {field: file.get_tensor(field) for field in file.keys()}  # noqa: SIM118
        graphs = TensorDict(tensors, batch_size=[len(next(iter(tensors.values())))])
        return graphs if record == {"key": key, "graphs": fingerprint_of_states(graphs)} else None
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, StopIteration):
        return None
