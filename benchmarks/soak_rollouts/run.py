"""Several processes collect into one store at once, and some are killed: is every row there, and right, at the end?

    python -m benchmarks soak_rollouts --trials 100

A trial starts two or four processes that collect the same rollouts at one path, within a few milliseconds of each
other; in every other trial they are killed (SIGKILL) at random moments and begin anew, until one ends well. Then the
store must hold, byte for byte, what one process alone collects. Ends with status 1 at the first trial that fails, and
keeps its store.
"""

import argparse
import logging
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from pathlib import Path

import torch

from svlearn import GaussianTransition, Prediction, Reference, Target
from svlearn.rollouts import Rollouts, collect

NUM_PROCESSES = (2, 4)
NUM_TRAJECTORIES, CHUNK, NUM_STEPS, WIDTH = 23, 3, 4, 50
LONGEST_DELAY, LONGEST_LIFE, PATIENCE = 0.005, 0.15, 120.0  # seconds
KILLED = 0.7  # the share of the processes, where there are kills


class Walk(Reference):
    """x_0 ~ N(0, 1), x_{t+1} ~ N(x_t, 1/4)."""

    num_steps = NUM_STEPS

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, WIDTH, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(transition=GaussianTransition(x, 0.5))


def reward(x: torch.Tensor) -> torch.Tensor:
    return x.sum(dim=1)


def fill(path: Path) -> Rollouts:
    return collect(Walk(), NUM_TRAJECTORIES, path, target=Target(reward, 1.0), batch_size=CHUNK, progress=False)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((path / "data").rglob("*.memmap"))}


def started(path: Path, delay: float) -> int:
    """The id of a process that collects."""
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(delay)
            fill(path)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def trial(path: Path, num_processes: int, kills: bool, draw: random.Random) -> list[int]:
    """So many processes until each has ended well, those that are killed begun anew; how each that ended did."""
    ends, running, deadline = list[int](), dict[int, float](), time.monotonic() + PATIENCE
    while ends.count(0) < num_processes:
        while ends.count(0) + len(running) < num_processes:
            life = draw.uniform(0.0, LONGEST_LIFE) if kills and draw.random() < KILLED else PATIENCE
            running[started(path, draw.uniform(0.0, LONGEST_DELAY))] = time.monotonic() + life
        for pid, end in list(running.items()):
            if time.monotonic() > min(end, deadline):
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                ends.append(os.waitstatus_to_exitcode(status))
        if time.monotonic() > deadline or 1 in ends:
            break
        time.sleep(0.001)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return ends


def soak(num_trials: int, seed: int, folder: Path) -> int:
    """The trials in turn: two processes and four, without kills and with them; returns how many were killed."""
    draw, killed = random.Random(seed), 0
    fill(folder / "alone")
    expected = contents(folder / "alone")
    for number in range(num_trials):
        path, size, kills = folder / f"{number}", NUM_PROCESSES[number // 2 % 2], number % 2 == 1
        ends = trial(path, size, kills, draw)
        killed += ends.count(-signal.SIGKILL)
        if ends.count(0) < size or contents(path) != expected or len(Rollouts.open(path)) != NUM_TRAJECTORIES:
            raise SystemExit(f"trial {number}, {size} processes: ended with {ends}; its store stays at {path}")
        others = {each.name for each in path.iterdir()} - {"manifest.json", "data", ".lock"}
        if not kills and others:
            raise SystemExit(f"trial {number}, {size} processes: left {others} at {path}")
        shutil.rmtree(path)
    return killed


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)  # who waits says so
    start, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="svlearn_soak_"))
    killed = soak(options.trials, options.seed, folder)
    shutil.rmtree(folder)
    print(f"rollouts: {options.trials} trials, {killed} kills, {time.monotonic() - start:.0f} s: every row is right")
