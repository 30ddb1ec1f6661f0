"""What stored trajectories of GDSS take: bytes, and rates of writing and reading, as memory maps and compressed.

    python -m benchmarks stores

GDSS on ZINC250k draws some trajectories, of each of which 16 times are kept. The same rows are then written, and read
again in random batches, as svlearn's memory maps and as HDF5 files, a chunk a trajectory, without compression, with LZF
and with gzip after a byte shuffle. docs/leaderboards/stores.md is written from the results.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from tensordict import TensorDict

import svlearn as sv
from benchmarks.common.clock import timed
from benchmarks.common.dots import OTHER, Dot, Panel, chart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import Request
from svlearn.rollouts.store import Writer

RESULTS, PAGE = Results("stores", {"trajectories": {}, "layouts": {}}), PAGES / "stores.md"
NAME = "stores.svg"
TITLE = "What stored trajectories take"
NUM_TRAJECTORIES, CHUNK, NUM_TIMES = 16, 8, 16
COPIES = 32  # of these rows, that are written and read
BATCH, NUM_BATCHES = 64, 20
WANTED, ROOM = 100_000, 20e9  # trajectories, bytes
LAYOUTS: dict[str, dict[str, Any] | None] = {
    "memory map": None,
    "HDF5": {},
    "HDF5, LZF": {"compression": "lzf"},
    "HDF5, shuffle and gzip 1": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
}


def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="svlearn_stores_") as folder:
        made = lambda: _collected(Path(folder) / "gdss")  # noqa: E731
        if all(name in RESULTS.read()["layouts"] for name in LAYOUTS) and RESULTS.read()["trajectories"]:
            return
        rows, figures = made()
        RESULTS.finish(lambda: figures, "trajectories", "GDSS on ZINC250k", again=True)
        many = torch.cat([rows] * COPIES)
        for place, (name, settings) in enumerate(LAYOUTS.items()):
            RESULTS.finish(partial(_measured, many, settings, Path(folder) / str(place)), "layouts", name)


def _collected(path: Path) -> tuple[TensorDict, dict]:
    """The trajectories in memory, and what they took to be collected."""
    reference = sv.load("gdss-zinc250k")
    options = {"batch_size": CHUNK, "times": NUM_TIMES, "progress": False}
    seconds = timed(lambda: collect(reference, NUM_TRAJECTORIES, path, **options))[1]
    rollouts = Rollouts.open(path)
    states = rollouts.states
    leaves = [states] if isinstance(states, torch.Tensor) else list(states.values(True, True))
    of_a_state = sum(leaf.element_size() * leaf[0, 0].numel() for leaf in leaves)
    figures = {
        "num_steps": reference.num_steps,
        "num_times": NUM_TIMES,
        "bytes_of_a_state": of_a_state,
        "bytes_of_a_trajectory": _bytes_in(path) / NUM_TRAJECTORIES,
        "seconds_of_a_trajectory": seconds / NUM_TRAJECTORIES,
        "provenance": provenance(),
    }
    return rollouts[slice(None)].clone(), figures


def _bytes_in(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _measured(rows: TensorDict, settings: dict[str, Any] | None, path: Path) -> dict:
    """Bytes a trajectory, and trajectories written, and read in random batches, a second of the processor."""
    write, read = (_maps if settings is None else partial(_hdf5, settings=settings))(rows, path)
    written = timed(write)[1]
    draw = seeded("cpu", 0)
    batches = [torch.randperm(len(rows), generator=draw)[:BATCH].sort().values for _ in range(NUM_BATCHES)]
    first = read(batches[0])
    assert all(np.array_equal(first[name], _arrays(rows[batches[0]])[name]) for name in first)
    seconds = timed(lambda: [read(batch) for batch in batches])[1]
    return {
        "bytes_of_a_trajectory": _bytes_in(path) / len(rows),
        "written_a_second": len(rows) / written,
        "read_a_second": BATCH * NUM_BATCHES / seconds,
        "provenance": provenance(),
    }


def _arrays(rows: TensorDict) -> dict[str, np.ndarray]:
    """The leaves of rows, by their names."""
    return {"/".join(name) if isinstance(name, tuple) else name: leaf.numpy() for name, leaf in rows.items(True, True)}


def _maps(rows: TensorDict, path: Path) -> tuple[Callable[[], Any], Callable[[torch.Tensor], dict[str, np.ndarray]]]:
    request = Request("process", len(rows), 1000, CHUNK, 0, "copies", times=NUM_TIMES)

    def write() -> None:
        writer = Writer(path, request)
        for chunk in range(request.num_chunks):
            writer.write(chunk, rows[request.rows(chunk)])

    return write, lambda batch: _arrays(Rollouts.open(path)[batch])


def _hdf5(
    rows: TensorDict, path: Path, settings: dict[str, Any]
) -> tuple[Callable[[], Any], Callable[[torch.Tensor], dict[str, np.ndarray]]]:
    path.mkdir()

    def write() -> None:
        with h5py.File(path / "rows.h5", "w") as file:
            for name, each in _arrays(rows).items():
                file.create_dataset(name, data=each, chunks=(1, *each.shape[1:]), **settings)
            file.flush()

    def read(batch: torch.Tensor) -> dict[str, np.ndarray]:
        with h5py.File(path / "rows.h5") as file:
            return {name: file[name][batch.numpy()] for name in _arrays(rows)}

    return write, read


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name: the room and the speed of each layout."""
    if len(held["layouts"]) < len(LAYOUTS):
        return {}
    panels = []
    for key, scale, title, label, best in (
        ("bytes_of_a_trajectory", 1e-3, "Room", "kB a trajectory", "low"),
        ("read_a_second", 1.0, "Reading", "trajectories read in random batches / s", "high"),
    ):
        found = {name: scale * each[key] for name, each in held["layouts"].items()}
        dots = [Dot(name, each, each, each, OTHER) for name, each in found.items()]
        panels.append(Panel(title, label, dots, best=best, logarithmic=True))
    return {NAME: chart("stores", panels)}


def page(held: dict) -> str:
    if len(held["layouts"]) < len(LAYOUTS):
        return not_measured(TITLE, "stores")
    drawn = held["trajectories"]["GDSS on ZINC250k"]
    maps = held["layouts"]["memory map"]
    small = min(held["layouts"].items(), key=lambda each: each[1]["bytes_of_a_trajectory"])
    whole = drawn["bytes_of_a_state"] * (drawn["num_steps"] + 1) * WANTED
    some = drawn["bytes_of_a_trajectory"] * WANTED
    fits = "fit" if some <= ROOM else "do not fit"
    less = maps["bytes_of_a_trajectory"] / small[1]["bytes_of_a_trajectory"]
    slower = maps["read_a_second"] / small[1]["read_a_second"]
    first = (
        f"**{WANTED:,} trajectories of GDSS with {drawn['num_times']} times each take {plain(some / 1e9, 3)} GB as "
        f"memory maps, and {fits} in {ROOM / 1e9:.0f} GB; whole ones of {drawn['num_steps']} steps would take "
        f"{plain(whole / 1e9, 3)} GB.** The smallest of the others, {small[0]}, takes {plain(less, 2)} times less "
        f"room, and its random batches are read {plain(slower, 2)} times slower. What saves room is to keep fewer "
        "times, `collect(times=16)`; svlearn offers no compression."
    )
    rows = [
        [
            name,
            plain(each["bytes_of_a_trajectory"] / 1e3, 3),
            plain(each["bytes_of_a_trajectory"] * WANTED / 1e9, 3),
            plain(each["written_a_second"], 3),
            plain(each["read_a_second"], 3),
        ]
        for name, each in held["layouts"].items()
    ]
    header = ["Layout", "kB a trajectory", f"GB of {WANTED:,}", "written / s", "read / s"]
    notes = (
        f"{NUM_TRAJECTORIES} trajectories, written {COPIES} times over; read: {NUM_BATCHES} random batches of {BATCH}, "
        "from the page cache, the file opened for each batch; written: flushed, of memory maps to the disk "
        f"by each chunk of {CHUNK}. Seconds are of the processor, one thread. "
        f"To draw one takes {plain(drawn['seconds_of_a_trajectory'], 2)} s here, "
        f"{plain(drawn['seconds_of_a_trajectory'] * maps['written_a_second'], 2)} times what it takes to write it.\n"
    )
    head = opening(TITLE, first, {NAME: "Room and speed of each layout"})
    return f"{head}\n{markdown_table(header, rows)}\n{notes}\n{reproduce('stores', held)}"
