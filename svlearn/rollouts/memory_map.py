"""The data of stored rollouts: a folder of memory-mapped tensors, as tensordict lays it out, read without trust in it.

data/meta.json       dtype and shape of each leaf of this level, and which leaves are folders like this one
data/rewards.memmap  the numbers of a leaf, rows one after another
"""

import hashlib
import math
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import unquote

import torch
from tensordict import MemoryMappedTensor, TensorDict, is_leaf_nontensor
from torch import Tensor

from svlearn import files
from svlearn.arguments import integers
from svlearn.rollouts.manifest import read_json

META = "meta.json"
MAX_DEPTH, MAX_DIMENSIONS = 32, 64  # of leaves in each other, of one leaf
DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}


def allocate(folder: Path, like: TensorDict, num_rows: int) -> None:
    """Make the folder, for so many rows like the first of `like`, in full: a full disk is an OSError here.

    It is made beside under a name of its own and moved there when it is whole. A folder that was there is moved away,
    not emptied: whoever maps its files goes on with them.
    """
    new = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        new.chmod(folder.parent.stat().st_mode & 0o777)  # mkdtemp's folder is its owner's alone
        like[:1].expand(num_rows).memmap_like(new)
        for file in files_in(new):
            files.allocate(file, file.stat().st_size)
        for entry in (*new.rglob("*"), new):
            files.sync(entry)
        if folder.exists():
            folder.rename(Path(mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent)))
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    files.sync(folder.parent)


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left beside the folder; whoever holds the lock of its store may."""
    for part in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def open_map(folder: Path, num_rows: int, depth: int = 0) -> TensorDict:
    """Map a folder of so many rows. Nothing is unpickled or imported, whatever its descriptions say.

    Raises ValueError, naming the file, where a description is malformed, or its leaves are not the files that are
    there: a shared map would lengthen a truncated one without a word.
    """
    file = folder / META
    try:
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} folders in each other")
        held = read_json(file)
        batch_size = _shape(held["shape"], num_rows)
        leaves: dict[str, Tensor | TensorDict] = {}
        for name, entry in held.items():
            if not isinstance(entry, dict):  # of the level, not of a leaf
                continue
            if "type" not in entry:
                leaves[name] = _leaf(folder, name, entry, num_rows)
            elif entry["type"] != "TensorDict":
                raise ValueError(f"{name!r}: a {entry['type']!r}")
    except (ValueError, TypeError, KeyError, OSError) as error:
        wanted = f"the description of {num_rows} rows of tensors, as svlearn writes it"
        raise ValueError(f"{file}: expected {wanted}, got another ({type(error).__name__}: {error})") from error
    for each in sorted(each for each in folder.iterdir() if each.is_dir()):
        leaves[unquote(each.name)] = open_map(each, num_rows, depth + 1)
    return TensorDict(leaves, batch_size=batch_size, device="cpu").lock_()


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def describe(file: Path) -> int | str:
    """The length of a file of numbers, the SHA-256 of one that says how to read them."""
    if file.suffix == ".memmap":
        return file.stat().st_size
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def layout(trajectories: TensorDict) -> dict[str, str]:
    """Field by field: dtype and shape of one trajectory. Raises TypeError for a field that is no tensor."""
    fields = {}
    for key, field in trajectories.items(True, True, is_leaf=is_leaf_nontensor):
        if not isinstance(field, Tensor):
            raise TypeError(f"states: expected tensors to store, got {type(field).__name__} as {key!r}")
        fields[str(key)] = f"{field.dtype} {tuple(field.shape[1:])}"
    return fields


def _leaf(folder: Path, name: str, entry: dict, num_rows: int) -> Tensor:
    shape, dtype = _shape(entry["shape"], num_rows), DTYPES[entry["dtype"]]
    size = math.prod(shape) * dtype.itemsize
    if size == 0:  # which has no file
        return torch.empty(shape, dtype=dtype)
    file = next((each for each in folder.glob("*.memmap") if unquote(each.stem) == name), None)
    came = 0 if file is None else file.stat().st_size
    if file is None or came != size or entry.get("is_nested"):
        raise ValueError(f"{name!r}: {size} bytes of a file of {came}")
    return MemoryMappedTensor.from_filename(str(file), dtype=dtype, shape=torch.Size(shape))


def _shape(sizes: Any, num_rows: int) -> list[int]:
    """A shape of so many rows, else ValueError."""
    if not isinstance(sizes, list) or len(sizes) > MAX_DIMENSIONS:
        raise ValueError(f"shape {str(sizes)[:80]}")
    shape = integers(sizes, "shape", least=0)
    if shape[:1] != [num_rows]:
        raise ValueError(f"shape {shape}")
    return shape
