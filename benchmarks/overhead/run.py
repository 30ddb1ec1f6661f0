"""What the sampling loop costs beside its networks: wall time over that of the same network calls made bare.

    python -m benchmarks overhead

One run of a sampler is recorded: each call, its batch, and whether its gradient was taken. The bare run makes the same
calls on the same batches in the same order, gradients included, and nothing else: once those of the reference and of
the value's network, as the loop calls them ("calls"), and once those of the networks inside alone, without what makes a
law of their output ("networks"). The three take turns, ten of each on one thread, so that what else runs on the machine
meets all; a ratio is the median over turns. The network is a perceptron whose width is found at the start, so that its
largest call of a step takes 5 ms. Then the sampler runs three times more with a clock in each part of the loop.

Writes benchmarks/results/overhead.json and, from it, docs/leaderboards/overhead.md; the memory is measured too, by
benchmarks/overhead/memory.py. Takes about ten minutes on a quiet machine.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from tqdm.auto import tqdm

from benchmarks.common.clock import timed
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.overhead.memory import measure as measure_memory
from benchmarks.overhead.models import KINDS, SAMPLERS, Model, build, find_width
from benchmarks.overhead.page import figures, page
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.loop import Loop
from svlearn.inference.proposals import Guided
from svlearn.inference.recorder import Recorder
from svlearn.inference.sampler import Sampler
from svlearn.process import Prediction
from svlearn.randomness import seeded
from svlearn.targets import Target

RESULTS, PAGE = Results("overhead", allow_nan=True), PAGES / "overhead.md"
SIZES = [(1, 10), (8, 10), (64, 10), (8, 100)]  # (B, M)
REPEATS, PROFILED = 10, 3
Call = tuple[torch.nn.Module, Tensor | TensorDict, Tensor, bool]


@contextmanager
def recorded(modules: tuple[torch.nn.Module, ...]) -> Iterator[list[Call]]:
    """Keep what these are called with: (module, x, t, whether a gradient is due)."""
    calls: list[Call] = []

    def keep(module: torch.nn.Module, inputs: tuple) -> None:
        x, t = inputs
        calls.append((module, x.detach().clone(), t, torch.is_grad_enabled()))

    handles = [module.register_forward_pre_hook(keep) for module in modules]
    yield calls
    for handle in handles:
        handle.remove()


def bare(calls: list[Call]) -> None:
    """The calls, and the gradients of the sums of their outputs where a gradient was due."""
    for module, x, t, graded in calls:
        with torch.set_grad_enabled(graded):
            if not graded:
                module(x, t)
                continue
            named = {"": x} if isinstance(x, Tensor) else dict(x.items())
            leaves = {name: leaf.detach().requires_grad_() for name, leaf in named.items() if leaf.is_floating_point()}
            output = module(leaves[""] if isinstance(x, Tensor) else x.copy().update(leaves), t)
            total = (output.clean if isinstance(output, Prediction) else output).sum()
            torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)


class Clock:
    """Seconds by part; a part that another calls does not count for that one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.open: list[str] = []
        self.mark = 0.0

    def turn(self) -> None:
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] = self.seconds.get(self.open[-1], 0.0) + now - self.mark
        self.mark = now

    def part(self, name: str, function: Callable) -> Callable:
        """The function, timed as a part of that name."""

        def clocked(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self.open.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self.turn()
                self.open.pop()

        return clocked


class Operations(TorchDispatchMode):
    """Counts tensor operations: what they cost is nearly all that the loop costs, and no other process changes it."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.number += 1
        return func(*args, **(kwargs or {}))


def operations(run: Callable[[], Any]) -> int:
    with Operations() as counted:
        run()
    return counted.number


def profile(model: Model, sampler: Sampler, run: Callable[[], Any]) -> dict[str, float]:
    """Microseconds a step of each part of the loop, without the parts inside it; what is left is bookkeeping."""
    clock, selection = Clock(), type(sampler.selection)
    places = [
        (Loop, "propose", "propose"),
        (Loop, "weigh", "judge"),
        (Loop, "_weigh_and_select", "survive"),
        (selection, "__call__", "select"),
        (Recorder, "add", "record"),
        (Recorder, "history", "record"),
        (Guided, "_gradients", "gradient"),
        (type(model.reference), "forward", "process"),
        (Target, "_evaluate", "reward"),
        (torch.autograd, "grad", "network"),
        (type(model.networks[0]), "forward", "network"),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(patch.object(owner, name, clock.part(part, getattr(owner, name))))
        for _ in range(PROFILED):
            clock.part("bookkeeping", run)()
    number = PROFILED * model.reference.num_steps
    return {name: 1e6 * seconds / number for name, seconds in clock.seconds.items()}


def compare(kind: str, name: str, groups: int, size: int, width: int) -> dict[str, Any]:
    """One sampler at one size: the ratios of all turns, and where the time goes."""
    model = build(kind, width)
    single = name.startswith("guidance")
    sampler, batch = model.sampler(name, 1 if single else size), groups * size if single else groups

    def run() -> None:
        sampler.sample(batch, generator=seeded("cpu", 0))

    with recorded(model.called) as calls, recorded(model.networks) as inner:
        run()
    works = [run, lambda: bare(calls), lambda: bare(inner)]
    turns = []
    for number in range(REPEATS):
        order = [(number + k) % 3 for k in range(3)]  # each follows each of the others equally often
        spent = {k: timed(works[k]) for k in order}
        turns.append([spent[k] for k in range(3)])
    return {
        "states": kind,
        "sampler": name,
        "groups": groups,
        "candidates": size,
        "width": width,
        "calls": ratios(turns, 1),
        "networks": ratios(turns, 2),
        "number_of_calls": len(calls),
        "operations": (operations(run) - operations(works[1])) / model.reference.num_steps,
        "bare_milliseconds": 1e3 * statistics.median(each[1][0] for each in turns),
        "profile": profile(model, sampler, run),
    }


def ratios(turns: list[list[tuple[float, float]]], over: int) -> dict[str, Any]:
    """Of the sampler's time to that of a bare run: the wall's and the processor's, turn by turn and their median."""
    figures: dict[str, Any] = {}
    for k, clock in enumerate(("wall", "processor")):
        figures[f"{clock}_turns"] = [each[0][k] / each[over][k] for each in turns]
        figures[clock] = statistics.median(figures[f"{clock}_turns"])
    return figures


def cases() -> list[tuple[str, str, int, int]]:
    """Vectors at all sizes; tokens and graphs, which have no gradient at the state, at one."""
    work = [("vectors", name, *size) for size in SIZES for name in SAMPLERS]
    names = [name for name in SAMPLERS if "at the state" not in name]
    return work + [(kind, name, *size) for kind in KINDS[1:] for size in [(8, 10)] for name in names]


def measure(options: argparse.Namespace) -> None:
    memory, entries, widths = measure_memory(), [], {}
    for kind, name, groups, size in tqdm(cases(), desc="overhead"):
        states = groups * size
        if (kind, states) not in widths:
            widths[kind, states] = find_width(kind, states)
        width, milliseconds = widths[kind, states]
        entry = {**compare(kind, name, groups, size, width), "milliseconds": milliseconds}
        entries.append(entry)
        figures = [f"{entry[over][clock]:.3f}" for over in ("calls", "networks") for clock in ("wall", "processor")]
        tqdm.write(f"{' '.join(figures)}  {kind}, {name}, B = {groups}, M = {size}")
    RESULTS.write({"entries": entries, "memory": memory, "provenance": provenance()})


def pages() -> dict[Path, str]:
    results = RESULTS.read()
    return {PAGE: page(results)} | {PAGE.with_name(name): drawing for name, drawing in figures(results).items()}
