"""Trajectories on disk: a memory-mapped TensorDict, and a manifest that says what was asked for and what is there.

    manifest.json    the request, which chunks are complete, and the size or digest of every file of data
    data/            "states" (N, T + 1, ...), "rewards" (N,), "log_ratios" (N, T): the memory maps of tensordict

    .lock            held by the process that writes, and freed by the system where that one dies
    .lock-7          the same of the process that draws chunk 7, which removes it when it has recorded the chunk

A chunk is recorded only once its rows are on the disk, by a rename, which is atomic: whatever moment a run is killed
at, the manifest holds complete chunks alone, each of them once. Any number of processes draw chunks at a time, each
another one, and one of them writes.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import Dataset

from svlearn.arguments import integer
from svlearn.files import explained, sync, user_path
from svlearn.locks import locked
from svlearn.rollouts.manifest import MANIFEST, Manifest, Request
from svlearn.rollouts.memory_map import allocate, describe, files_in, layout, open_map, remove_parts
from svlearn.state import State

DATA, LOCK = "data", ".lock"
IDENTITIES = ("process_identity", "reward_identity", "proposal_identity")


@dataclass(frozen=True)
class Rollouts(Dataset[TensorDict]):
    """N complete trajectories on disk. An index by rows copies them to memory, as a TensorDict of a batch.

    data: "states" (N, T + 1, ...), or of some times (N, n, ...) with "times" (N, n), where there was a target "rewards"
    (N,), and where a proposal drew "log_ratios" (N, T), memory-mapped: meant to be read, for what is written to them in
    place reaches the disk.
    """

    path: Path
    request: Request
    data: TensorDict

    @classmethod
    def open(cls, path: str | os.PathLike) -> "Rollouts":
        """Open a store. Nothing is unpickled, and no data are read yet.

        Raises FileNotFoundError where there is none, ValueError where it is corrupt or not complete.
        """
        path = user_path(path)
        manifest = Manifest.read(path)
        done, wanted = len(manifest.complete), manifest.request.num_chunks
        if done < wanted:
            raise ValueError(f"{path}: expected {wanted} chunks, got {done}; collect again with the same arguments")
        return cls(path, manifest.request, _open_data(path, manifest))

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

    Several writers of one store, in one process or more, take turns: each call of `write` holds the store's lock, and
    reads what the others have recorded; `alone` holds it for longer. path: ~ is the home folder.
    Raises ValueError where the path holds something else, was asked for with other arguments (it says which), or is
    corrupt; OSError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike, request: Request):
        self.path, self._is_alone = user_path(path), False
        self._keeps_others_out = False
        while not (self.path / MANIFEST).exists():
            _make_empty(self.path)
            try:
                with self._locked():
                    if not (self.path / MANIFEST).exists():
                        Manifest(request).write(self.path)
            except BlockingIOError:  # by one that is about to write the manifest
                time.sleep(0.01)
        self.manifest = Manifest.read(self.path)
        _check_same(self.path, self.manifest.request, request)
        self._data: TensorDict | None = None
        self._mapped: dict[Path, tuple[int, int]] = {}
        if self.manifest.files:
            self._map()

    def missing(self) -> list[int]:
        """The chunks that are not complete, in order."""
        complete = {*self.manifest.complete}
        return [i for i in range(self.manifest.request.num_chunks) if i not in complete]

    def num_written(self) -> int:
        """Trajectories in complete chunks."""
        rows = (self.manifest.request.rows(i) for i in self.manifest.complete)
        return sum(each.stop - each.start for each in rows)

    @contextmanager
    def claimed(self, chunk: int, *, wait: bool = False) -> Iterator[bool]:
        """Keep others from drawing a chunk while the block runs; yields whether it is there to be drawn.

        It is not where it is complete, and where another process draws it. wait: until that one has recorded it, or
        died without. Raises OSError where no file can be made at the path.
        """
        file = self.path / f"{LOCK}-{chunk}"
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(file, f"chunk {chunk} of the rollouts at {self.path}", wait=wait))
            except BlockingIOError:
                yield False
                return
            self._refresh()
            yield chunk not in self.manifest.complete
            if chunk in self.manifest.complete:
                with suppress(PermissionError):  # Windows keeps what is open
                    file.unlink(missing_ok=True)  # who waits for it makes it anew, and finds the chunk complete

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from writing while the block runs; wait for one who does, and go on from what it has written."""
        if self._is_alone:
            yield
            return
        with self._locked(wait=True) as is_held:
            self._refresh()
            self._is_alone, self._keeps_others_out = True, is_held
            try:
                yield
            finally:
                self._is_alone = False

    def write(self, chunk: int, trajectories: TensorDict) -> None:
        """Write a chunk to its rows, flush it, and only then record it as complete; one that is complete stays.

        Raises ValueError for another number of trajectories than the chunk has, and for other fields than those of
        the chunks before; OSError where the disk is full.
        """
        rows = self.manifest.request.rows(integer(chunk, "chunk", 0, self.manifest.request.num_chunks - 1))
        if len(trajectories) != rows.stop - rows.start:
            came = f"{len(trajectories)} trajectories"
            raise ValueError(f"{self.path}: chunk {chunk}: expected {rows.stop - rows.start}, got {came}")
        with self.alone():
            if chunk not in self.manifest.complete:
                self._write(chunk, rows, trajectories.cpu())

    def _write(self, chunk: int, rows: slice, trajectories: TensorDict) -> None:
        fields = layout(trajectories)
        if self._data is None:
            allocate(self.path / DATA, trajectories, self.manifest.request.num_trajectories)
            if self._keeps_others_out:
                remove_parts(self.path / DATA)
            self._map()
        data = cast(TensorDict, self._data)
        if fields != layout(data):
            raise ValueError(f"{self.path}: chunk {chunk}: expected {layout(data)}, got {fields}")
        data[rows] = trajectories
        for file in self._mapped:
            sync(file)
        files = self.manifest.files or {
            file.relative_to(self.path).as_posix(): describe(file) for file in files_in(self.path / DATA)
        }
        self._check_unmoved()
        self.manifest = replace(self.manifest, complete=(*self.manifest.complete, chunk), files=files)
        self.manifest.write(self.path)

    def _locked(self, wait: bool = False) -> AbstractContextManager[bool]:
        return locked(self.path / LOCK, f"the rollouts at {self.path}", wait=wait)

    def _refresh(self) -> None:
        """Take what others have recorded since."""
        request = self.manifest.request
        self.manifest = Manifest.read(self.path)
        _check_same(self.path, self.manifest.request, request)
        self._data = None
        if self.manifest.files:
            self._map()

    def _map(self) -> None:
        self._data = _open_data(self.path, self.manifest)
        self._mapped = {file: _inode(file) for file in files_in(self.path / DATA)}

    def _check_unmoved(self) -> None:
        """Raise where the files that were written to are no longer those at the path: who removes a store while it is
        written, and begins another one there, must not get its chunks recorded."""
        for file, inode in self._mapped.items():
            if not file.exists() or _inode(file) != inode:
                raise ValueError(f"{file}: expected the file that was written to, got another one: collect again")


def _inode(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _make_empty(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: expected a new or empty directory, got a file")
    with explained(path, "a folder that can be made; choose another path"):
        path.mkdir(parents=True, exist_ok=True)
    ours = (LOCK, MANIFEST, f".{MANIFEST}.", f".{DATA}.")
    others = sorted(each.name for each in path.iterdir() if not each.name.startswith(ours))
    if others and not (path / MANIFEST).exists():  # which another process may have written since
        raise ValueError(f"{path}: expected a new or empty directory, got one that holds {', '.join(others[:5])}")


def _check_same(path: Path, held: Request, asked: Request) -> None:
    differ = [each.name for each in fields(Request) if getattr(held, each.name) != getattr(asked, each.name)]
    if not differ:
        return
    if held.process_identity is None and {*differ} <= {*IDENTITIES}:
        raise ValueError(
            f"{path}: holds rollouts of an earlier svlearn, which told processes, rewards and proposals apart by too "
            "little to know that they are these; Rollouts.open reads them; to collect, choose another path"
        )
    what = "; ".join(f"{name} = {getattr(held, name)!r}, got {getattr(asked, name)!r}" for name in differ)
    if differ == ["reward_identity"]:
        what += "; it holds its code and all that this reads: where these will change and the rewards will not, "
        what += "name it from the start, Target(reward, alpha, name=...)"
    raise ValueError(f"{path}: holds rollouts of other arguments: expected {what}")


def _open_data(path: Path, manifest: Manifest) -> TensorDict:
    """Map the data, their files checked before."""
    for name, wanted in manifest.files.items():
        file = path / name
        came = describe(file) if file.is_file() else "no file"
        if came != wanted:
            unit = " bytes" if isinstance(wanted, int) else " as its SHA-256"
            raise ValueError(f"{file}: expected {wanted}{unit}, got {came}")
    return open_map(path / DATA, manifest.request.num_trajectories)
