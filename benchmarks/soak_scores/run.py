"""Two and four processes that write one score store, half of them killed at a random moment: what is lost or wrong.

    python -m benchmarks soak_scores                # 100 trials, about a minute
    python -m benchmarks soak_scores --trials 1000

Each process writes batches of scores that follow from the text, and reports each batch that is on disk. Half of
them are killed while they do. Then the file must open, hold every batch that was reported, and nothing but right
scores: else the trial ends with an error that names its seed.
"""

import argparse
import os
import random
import signal
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm.auto import tqdm

from svlearn.scoring.score_store import Known, ScoreStore

BATCHES, ROWS = 6, 8
LONGEST = 0.25  # seconds until the kill; the batches of a process take about as long


def batch(writer: int, number: int) -> dict[str, Known]:
    """Scores of texts that all writers share in part; every fifth is a failure."""
    rows = range(writer * BATCHES * ROWS // 2 + number * ROWS, writer * BATCHES * ROWS // 2 + (number + 1) * ROWS)
    return {"C" * (1 + row): (None, f"of {row}") if row % 5 == 0 else (row + 0.25, None) for row in rows}


def write(path: Path, writer: int, reports: Connection) -> None:
    store = ScoreStore(path, "soak")
    for number in range(BATCHES):
        store.write(batch(writer, number))
        reports.send(number)


def trial(path: Path, processes: int, seed: int) -> tuple[int, int]:
    """Batches that were reported and processes that were killed; raises AssertionError where the file is wrong."""
    chance, fork = random.Random(seed), get_context("fork")
    ends = [fork.Pipe(duplex=False) for _ in range(processes)]
    writers = [fork.Process(target=write, args=(path, each, ends[each][1])) for each in range(processes)]
    for each in writers:
        each.start()
    killed = 0
    for each, moment in sorted(
        ((each, chance.uniform(0, LONGEST)) for each in writers[: processes // 2]), key=lambda pair: pair[1]
    ):
        time.sleep(moment / processes)
        if each.is_alive() and each.pid is not None:
            os.kill(each.pid, signal.SIGKILL)
            killed += 1
    for each in writers:
        each.join()
    reported = {}
    for writer, (receiver, sender) in enumerate(ends):
        sender.close()
        try:
            while receiver.poll():
                reported |= batch(writer, receiver.recv())
        except EOFError:
            pass
        receiver.close()
    every = {
        text: known for writer in range(processes) for n in range(BATCHES) for text, known in batch(writer, n).items()
    }
    store = ScoreStore(path, "soak")
    stored = store.read(list(every))
    if not reported.items() <= stored.items() <= every.items() or len(store) != len(stored):
        raise AssertionError(f"seed {seed}, {processes} processes: {path} does not hold what was written")
    return len(reported), killed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=100, help="of each number of processes, half (default 100)")


def measure(options: argparse.Namespace) -> None:
    start, scores, killed = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(options.trials), desc="score store"):
            more = trial(Path(folder) / f"{seed}.sqlite", 2 + 2 * (seed % 2), seed)
            scores, killed = scores + more[0], killed + more[1]
    seconds = time.monotonic() - start
    print(f"{options.trials} trials, {killed} kills, {scores} scores reported, none lost or wrong, {seconds:.0f} s")
