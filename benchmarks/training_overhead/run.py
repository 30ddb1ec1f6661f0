"""What Lightning costs: steps a second of each objective through `fit`, over those of a bare loop of the same maths.

    python -m benchmarks training_overhead                              # every family
    python -m benchmarks training_overhead --oracle gaussian10 --family "monte carlo" --repeats 11

The bare loop has the same rollouts, the same loss, the same Adam with cosine decay and clipping, and nothing of
Lightning: no hooks, no logging, no guard. Both train from the same first weights, in turns, so that what else runs on
the machine meets both; the ratio is the median over repeats. Seconds are CPU seconds of one thread from the first step
to the last. Writes benchmarks/results/training_overhead.json, family by family, which docs/leaderboards/objectives.md
quotes; what is there is measured anew.

On gaussian3 the networks are a few dozen numbers, so a step takes a few milliseconds and the ratio is at its lowest;
gaussian10 has a plain MLP, as small as a real task would have one. What asks for more of a reference is measured where
it has it: the families of the forward process on the token tree, target score matching on the mixture, where a step
takes a tenth of a second. Peak memory is that of the whole process, through `fit` over that of the bare loop.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from benchmarks.common.command import add_choice
from benchmarks.objectives.run import OVERHEAD, pages
from benchmarks.oracles.families import Family, families_of
from benchmarks.oracles.problems import Problem, problems
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import metered
from svlearn.objectives import ForwardProcessPolicy, Objective, SoftQIteration
from svlearn.objectives.fit import fit
from svlearn.objectives.objective import GRADIENT_NORM, TRAINING
from svlearn.randomness import seeded

__all__ = ["pages"]  # that of the objectives tells of this too

ORACLES = ["gaussian3", "gaussian10", "tree", "mixture"]
FOR_ALL = 2  # of these; on the others only families that no oracle before can have
WANTED = 0.9


def new(family: Family, problem: Problem) -> Objective:
    torch.manual_seed(0)
    return family.build(problem)


def through_fit(family: Family, problem: Problem, steps: int) -> float:
    """Steps a second of Lightning's loop."""
    objective, marks = new(family, problem), []
    objective.on_train_start = objective.on_train_end = lambda: marks.append(time.process_time())
    fit(objective, max_steps=steps, enable_progress_bar=False)
    return steps / (marks[1] - marks[0])


def bare_loop(family: Family, problem: Problem, steps: int) -> float:
    """Steps a second of a loop by hand."""
    objective = new(family, problem)
    objective.log = objective.log_dict = lambda *args, **kwargs: None
    place = objective._trainer = SimpleNamespace(
        global_step=0, accumulate_grad_batches=1, world_size=1
    )  # from which some families read the step
    parameters = [each for each in objective.trained().parameters() if each.requires_grad]
    rate = objective.learning_rate
    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=0.01 * rate)
    objective.train()
    objective.reference.eval()
    start = time.process_time()
    for step in range(steps):
        place.global_step = step
        generator = seeded("cpu", 0, TRAINING, step)
        trajectories = objective._trajectories(0, objective.batch_size, generator)
        loss = objective.loss(trajectories, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        if isinstance(objective, SoftQIteration):
            objective.follow()
        if isinstance(objective, ForwardProcessPolicy):
            objective.advance()
    return steps / (time.process_time() - start)


def with_peak(loop: Callable[[Family, Problem, int], float], *given: Any) -> tuple[float, int]:
    """Steps a second of a loop, and the peak memory of the process meanwhile, bytes."""
    with metered() as meter:
        pace = loop(*given)
    return pace, meter.cost.peak_memory_bytes


def compare(family: Family, problem: Problem, repeats: int, seconds: float) -> dict[str, Any]:
    """Both in turns, of about so many seconds each."""
    pace = bare_loop(family, problem, 10)
    steps = max(20, round(seconds * pace))
    turns = [[with_peak(loop, family, problem, steps) for loop in (through_fit, bare_loop)] for _ in range(repeats)]
    pairs = [(one, other) for (one, _), (other, _) in turns]
    lightning, bare = zip(*pairs)
    return {
        "ratio": statistics.median(one / other for one, other in pairs),
        "ratios": [one / other for one, other in pairs],
        "steps_per_second": statistics.median(lightning),
        "bare_steps_per_second": statistics.median(bare),
        "milliseconds_more": 1e3 * statistics.median(1 / one - 1 / other for one, other in pairs),
        "peak_memory": statistics.median(one / other for (_, one), (_, other) in turns),
        "steps": steps,
        "provenance": provenance(),
    }


def pairs_of(oracles: list[str]) -> list[tuple[Problem, Family]]:
    """What is measured: each family on each chain, and on the oracles after them what none before can have."""
    by_name = {problem.name: problem for problem in problems()}
    kept: list[tuple[Problem, Family]] = []
    for place, name in enumerate(ORACLES):
        taken = [] if place < FOR_ALL else [family for _, family in kept]
        kept += [(by_name[name], family) for family in families_of(by_name[name]) if family not in taken]
    return [(problem, family) for problem, family in kept if problem.name in oracles]


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--oracle", ORACLES)
    parser.add_argument("--family", default="", help="only those with this in their name, upper or lower case")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one turn, about (default 1)")


def measure(options: argparse.Namespace) -> None:
    warnings.filterwarnings("ignore", message="reference: not memoryless")
    work = [pair for pair in pairs_of(options.oracle) if options.family.lower() in pair[1].name.lower()]
    for problem, family in tqdm(work, desc="overhead"):
        name = f"{problem.name}/{family.name}"
        OVERHEAD.finish(partial(compare, family, problem, options.repeats, options.seconds), name, again=True)
        entry = OVERHEAD.read()[name]
        short = "" if entry["ratio"] >= WANTED else f"  below {WANTED}"
        tqdm.write(f"{entry['ratio']:.3f}  {entry['milliseconds_more']:+.2f} ms  {name}{short}")
