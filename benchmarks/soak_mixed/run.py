"""Mixed random runs for a while, two processes: weights, costs, memory, files and processes; and trainings killed.

    python -m benchmarks soak_mixed --minutes 60

Each of two processes draws again and again by a random sampler of a random oracle with random settings, or trains a
value for a few steps. Of each run the weights must be normalised, the calls those that are worked out by hand, and now
and then the estimates of Z are held against the exact one. After a warm-up, neither the memory nor the open files, the
threads and the children of a process may grow. Between, trainings that keep their last checkpoint are killed at a
random moment (SIGKILL) and gone on with; they must end at the parameters of one that nobody has killed. Ends with
status 1, and the seed of the run, at the first that is wrong.
"""

import argparse
import math
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import FiniteMarkovChain, LinearGaussianChain
from svlearn.objectives import LastCheckpoint
from svlearn.randomness import seeded

ALPHA, WARM, GROWTH = 1.0, 60, 64 * 2**20  # runs before memory is looked at; bytes that it may grow by
STEPS, LONGEST_LIFE = 40, 4.0  # of a training that is killed; seconds until it is
PATIENCE = 300.0  # seconds until a training has ended well


class Table(nn.Module):
    """One free number for each time and state of a Markov chain."""

    def __init__(self, num_states: int, num_steps: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(num_steps, num_states, dtype=torch.float64))

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.table[t, x[:, 0]]


def oracle_of(draw: random.Random) -> Any:
    if draw.random() < 0.5:
        return FiniteMarkovChain.random(draw.randint(2, 6), draw.randint(1, 6), seed=draw.randint(0, 99))
    return LinearGaussianChain.random(draw.randint(1, 3), draw.randint(1, 6), seed=draw.randint(0, 99))


def check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def sampled(draw: random.Random, seed: int) -> None:
    """One run of a random sampler: its weights and its calls."""
    chain = oracle_of(draw)
    target, steps, size = chain.target(ALPHA), chain.num_steps, draw.randint(1, 12)
    value = draw.choice([chain.mean_value(), chain.soft_value(ALPHA), sv.values.Zero()])
    number = draw.randint(2, 9)
    kinds: dict[str, Callable[[], tuple[Any, int, int]]] = {
        "ancestral": lambda: (sv.ancestral(chain, target), 1, 1),
        "best_of_n": lambda: (sv.best_of_n(chain, target, number), number, number),
        "svdd": lambda: (sv.svdd(chain, target, value, number), 1, number),
        "smc": lambda: (sv.smc(chain, target, value, number), number, number),
    }
    name = draw.choice(list(kinds))
    sampler, references, rewards = kinds[name]()
    limit = draw.choice([None, 1, 7])
    samples = sampler.sample(size, generator=seeded("cpu", seed), max_batch=limit)
    sums = samples.log_weights.exp().sum(dim=1)
    check(bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-9)), f"{name}: weights that sum to {sums.tolist()}")
    check(samples.cost.reference_calls == size * references * steps, f"{name}: {samples.cost}, {size} of {steps} steps")
    check(samples.cost.reward_calls == size * rewards, f"{name}: {samples.cost}, {size} samples")
    again = sampler.sample(size, generator=seeded("cpu", seed))
    check(bool((again.rewards - samples.rewards).abs().max() < 1e-9), f"{name}: another draw at max_batch={limit}")


def estimated(draw: random.Random, seed: int) -> None:
    """E[Z_hat]/Z within five standard errors."""
    chain = FiniteMarkovChain.random(3, 3, seed=draw.randint(0, 99))
    sampler = sv.smc(chain, chain.target(ALPHA), chain.mean_value(), 16)
    logs = sampler.sample(2000, generator=seeded("cpu", seed)).log_normalizer
    ratios = (logs.double() - float(chain.log_normalizer(ALPHA))).exp()
    error = float(ratios.std()) / math.sqrt(len(ratios))
    check(abs(float(ratios.mean()) - 1) < 5 * error + 1e-9, f"E[Z_hat]/Z = {float(ratios.mean())} ± {error}")


def objective() -> Any:
    chain = FiniteMarkovChain.random(3, 3, seed=1)
    value = sv.values.Learned(Table(3, 3))
    return sv.objectives.MonteCarloRegression(chain, chain.target(ALPHA), value, batch_size=16)


def trained(draw: random.Random, seed: int) -> None:
    """A few steps, the same twice."""
    one, other = (
        sv.fit(objective(), max_steps=3, seed=seed, enable_progress_bar=False).value.network.table for _ in range(2)
    )
    check(torch.equal(one, other), "two trainings of one seed differ")


def held() -> tuple[int, int, int, int]:
    """Bytes in memory, open files, threads and children of this process."""
    pid = os.getpid()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = [
        each for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]
    tasks = len(list(Path(f"/proc/{pid}/task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())), tasks, len(children)


def worker(seed: int, until: float) -> int:
    """Runs until then; how many."""
    number, first = 0, held()
    while time.monotonic() < until or number <= WARM:
        draw = random.Random(seed + number)
        work = draw.choices([sampled, estimated, trained], weights=[20, 1, 1])[0]
        try:
            work(draw, seed + number)
        except Exception as error:
            error.add_note(f"{work.__name__}, seed {seed + number}")
            raise
        number += 1
        if number == WARM:
            first = held()
    last = held()
    check(last[0] - first[0] < GROWTH, f"the memory grew from {first[0]} to {last[0]} bytes in {number} runs")
    check(last[1:] <= first[1:], f"files, threads and children grew from {first[1:]} to {last[1:]} in {number} runs")
    return number


def started(work: Callable[[], Any]) -> int:
    """The id of a process that does it; it ends with status 0 where it is done."""
    pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(1)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def going_on(folder: Path) -> None:
    """The training from where its last checkpoint is; its parameters once it is done."""
    last = folder / "checkpoints" / "last.ckpt"
    own = sv.fit(
        objective(),
        max_steps=STEPS,
        enable_progress_bar=False,
        default_root_dir=str(folder),
        callbacks=[LastCheckpoint(seconds=0)],
        ckpt_path=str(last) if last.exists() else None,
    )
    torch.save(own.value.network.table.detach(), folder / "table.pt")


def killed_training(folder: Path, draw: random.Random, expected: torch.Tensor) -> int:
    """How often it was killed before it ended well."""
    kills, deadline = 0, time.monotonic() + PATIENCE
    while True:
        pid = started(lambda: going_on(folder))
        end = min(time.monotonic() + draw.uniform(0.0, LONGEST_LIFE), deadline)
        status = None
        while status is None:
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if ended else None
            if status is None and kills < 3 and time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
        if status == 0:
            break
        check(status == -signal.SIGKILL and time.monotonic() < deadline, f"a training ended with {status} in {folder}")
        kills += 1
    check(torch.equal(torch.load(folder / "table.pt", weights_only=True), expected), f"other parameters in {folder}")
    return kills


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=3.0, help="of the mixed runs (default 3)")
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace) -> None:
    start, draw, kills, trainings = time.monotonic(), random.Random(options.seed), 0, 0
    until, folder = start + 60 * options.minutes, Path(tempfile.mkdtemp(prefix="svlearn_soak_"))
    workers = [
        started(lambda each=each: print(worker(10**6 * (1 + each + options.seed), until), "runs")) for each in (0, 1)
    ]
    going_on(folder / "alone")
    expected = torch.load(folder / "alone" / "table.pt", weights_only=True)
    while time.monotonic() < until or trainings == 0:
        kills += killed_training(folder / f"{trainings}", draw, expected)
        shutil.rmtree(folder / f"{trainings}")
        trainings += 1
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    if any(ends):
        raise SystemExit(f"seed {options.seed}: the runs ended with {ends}")
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    check(len(left) == 1, f"files grew: {left}")
    print(f"{trainings} trainings, {kills} kills, {time.monotonic() - start:.0f} s: all is as it should be")
