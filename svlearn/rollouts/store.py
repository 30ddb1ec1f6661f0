"""Trajectories on disk: a memory-mapped TensorDict, and a manifest that says what was asked for and what is there.

    manifest.json    the request, which chunks are complete, and the size or digest of every file of data
    data/            "states" (N, T + 1, ...), "rewards" (N,), "log_ratios" (N, T): the memory maps of tensordict

A chunk is recorded only once its rows are on the disk, by a rename, which is atomic: whatever moment a run is killed
at, the manifest holds complete chunks alone, each of them once. One process writes a store at a time.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict, is_leaf_nontensor
from torch import Tensor
from torch.utils.data import Dataset

from svlearn.files import sync
from svlearn.rollouts.manifest import MANIFEST, Manifest, Request
from svlearn.state import State

DATA = "data"


@dataclass(frozen=True)
class Rollouts(Dataset[TensorDict]):
    """N complete trajectories on disk. An index by rows copies them to memory, as a TensorDict of a batch.

    data: "states" (N, T + 1, ...), where there was a target "rewards" (N,), and where a proposal drew "log_ratios"
    (N, T), memory-mapped: meant to be read, for what is written to them in place reaches the disk.
    """

    path: Path
    request: Request
    data: TensorDict

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Rollouts":
        """Open a store. Nothing is unpickled, and no data are read yet.

        Raises FileNotFoundError where there is none, ValueError where it is corrupt or not complete.
        """
        path = Path(path)
        manifest = Manifest.read(path)
        done, wanted = len(manifest.complete), manifest.request.num_chunks
        if done < wanted:
            raise ValueError(f"{path}: expected {wanted} chunks, got {done}; collect again with the same arguments")
        return cls(path, manifest.request, _open_data(path, manifest.files))

    @property
    def states(self) -> State:
        return self.data["states"]

    @property
    def rewards(self) -> Tensor | None:
        return self.data.get("rewards", None)

    def __len__(self) -> int:
        return self.request.num_trajectories

    def __getitem__(self, index: Any) -> TensorDict:
        """Rows by a list or a LongTensor: "states" (B, T + 1, ...), "rewards" (B,), read in one operation."""
        return self.data[index if isinstance(index, (int, slice)) else torch.as_tensor(index)]


class Writer:
    """Creates the store of a request, or goes on with it.

    Raises ValueError where the path holds something else, was asked for with other arguments (it says which), or is
    corrupt.
    """

    def __init__(self, path: str | os.PathLike, request: Request):
        self.path = Path(path)
        if (self.path / MANIFEST).exists():
            self.manifest = Manifest.read(self.path)
            _check_same(self.path, self.manifest.request, request)
        else:
            self.manifest = Manifest(request)
            _make_empty(self.path)
            self.manifest.write(self.path)
        self._data: TensorDict | None = None
        if self.manifest.files:
            self._data = _open_data(self.path, self.manifest.files)

    def missing(self) -> list[int]:
        """The chunks that are not complete, in order."""
        complete = {*self.manifest.complete}
        return [i for i in range(self.manifest.request.num_chunks) if i not in complete]

    def num_written(self) -> int:
        """Trajectories in complete chunks."""
        rows = (self.manifest.request.rows(i) for i in self.manifest.complete)
        return sum(each.stop - each.start for each in rows)

    def write(self, chunk: int, trajectories: TensorDict) -> None:
        """Write a chunk to its rows, flush it, and only then record it as complete."""
        trajectories = trajectories.cpu()
        layout = _layout(trajectories)
        if self._data is None:
            self._data = self._allocate(trajectories)
        elif layout != _layout(self._data):
            raise ValueError(f"{self.path}: chunk {chunk}: expected {_layout(self._data)}, got {layout}")
        self._data[self.manifest.request.rows(chunk)] = trajectories
        for file in _files(self.path):
            sync(file)
        files = self.manifest.files
        if not files:
            for entry in (self.path / DATA, *(self.path / DATA).rglob("*")):
                sync(entry)  # the names of the new files too
            files = {str(file.relative_to(self.path)): _describe(file) for file in _files(self.path)}
        self.manifest = replace(self.manifest, complete=(*self.manifest.complete, chunk), files=files)
        self.manifest.write(self.path)

    def _allocate(self, like: TensorDict) -> TensorDict:
        shutil.rmtree(self.path / DATA, ignore_errors=True)  # of a run that was killed here
        rows = like[:1].expand(self.manifest.request.num_trajectories)
        data = rows.memmap_like(self.path / DATA)
        for file in _files(self.path):
            if hasattr(os, "posix_fallocate") and file.stat().st_size > 0:
                with file.open("r+b") as opened:  # a full disk is then an OSError here, not a bus error later
                    os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        return data


def _make_empty(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: expected a new or empty directory, got a file")
    path.mkdir(parents=True, exist_ok=True)
    others = sorted(each.name for each in path.iterdir() if MANIFEST not in each.name)
    if others:
        raise ValueError(f"{path}: expected a new or empty directory, got one that holds {', '.join(others[:5])}")


def _check_same(path: Path, held: Request, asked: Request) -> None:
    differ = [
        f"{field.name} = {getattr(held, field.name)!r}, got {getattr(asked, field.name)!r}"
        for field in fields(Request)
        if getattr(held, field.name) != getattr(asked, field.name)
    ]
    if differ:
        raise ValueError(f"{path}: holds rollouts of other arguments: expected {'; '.join(differ)}")


def _open_data(path: Path, files: dict[str, int | str]) -> TensorDict:
    """Map the data, their files checked before: a shared map would lengthen a truncated one without a word."""
    for name, wanted in files.items():
        came = _describe(path / name) if (path / name).is_file() else "no file"
        if came != wanted:
            unit = " bytes" if isinstance(wanted, int) else " as its SHA-256"
            raise ValueError(f"{path / name}: expected {wanted}{unit}, got {came}")
    return TensorDict.load_memmap(path / DATA, allow_pickle=False)


def _describe(file: Path) -> int | str:
    """The length of a file of numbers, the SHA-256 of one that says how to read them."""
    return file.stat().st_size if file.suffix == ".memmap" else hashlib.sha256(file.read_bytes()).hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in (path / DATA).rglob("*") if file.is_file())


def _layout(trajectories: TensorDict) -> dict[str, str]:
    """Field by field: dtype and shape of one trajectory. Raises TypeError for a field that is no tensor."""
    layout = {}
    for key, field in trajectories.items(True, True, is_leaf=is_leaf_nontensor):
        if not isinstance(field, Tensor):
            raise TypeError(f"states: expected tensors to store, got {type(field).__name__} as {key!r}")
        layout[str(key)] = f"{field.dtype} {tuple(field.shape[1:])}"
    return layout
