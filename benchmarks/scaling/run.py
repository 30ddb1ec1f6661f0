"""One process against two on the same work: plain samples compared, a value trained, objects scored, on the wall.

    python -m benchmarks scaling

Each process has one thread. Samples are drawn in blocks by `compare(together=True)`, the training is Lightning's DDP
over gloo with half of the batch each, objects are scored by one or two workers of a `Scorer`. The turns of one and of
two alternate; how busy the machine was besides is noted. docs/leaderboards/scaling.md is written from the results.
"""

import argparse
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.common.dots import OTHER, Panel, chart, spread
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.common.paths import PAGES, ROOT
from benchmarks.common.results import Results
from benchmarks.scaling import paper, work
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance

RESULTS, PAGE = Results("scaling", {"kinds": {}}), PAGES / "scaling.md"
TITLE, NAME = "One process against two", "scaling.svg"
KINDS = {
    "sampling": "What is left: the larger share of the blocks, and their gathering.",
    "training": "What is left: the sum of gradients over gloo at each step, and what each does besides its rows.",
    "scoring": "What is left: the one process that hands objects out and takes scores in.",
}
TURNS, IDLE = 3, 1.5  # turns of each; the load of a machine that does little else


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--turns", type=int, default=TURNS)


def measure(options: argparse.Namespace) -> None:
    for kind in KINDS:
        RESULTS.finish(partial(turns, kind, options.turns), "kinds", kind)


def turns(kind: str, number: int) -> dict:
    """Seconds of one and of two, turn by turn, and the load of the machine before."""
    load, held = os.getloadavg()[0], {"1": [], "2": []}
    for _ in range(number):
        for processes in (1, 2):
            held[str(processes)].append(seconds(kind, processes))
    return {"load": load, "seconds": held, "provenance": provenance()}


def seconds(kind: str, processes: int) -> float:
    own = 1 if kind == "scoring" else processes
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(own)]
    command += ["-m", "benchmarks.scaling.work", kind, str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    found = re.search(r"^seconds ([\d.e+-]+)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise RuntimeError(f"{kind} in {processes} processes ended with {done.returncode}: {done.stderr[-2000:]}")
    return float(found[1])


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    if len(held["kinds"]) < len(KINDS):
        return {}
    dots = [spread(kind, times(row), OTHER) for kind, row in held["kinds"].items()]
    panel = Panel("Two processes", "times as fast as one, mean and range of turns", dots, line=(2.0, "all"))
    return {NAME: chart("scaling", [panel])}


def times(row: dict) -> list[float]:
    """How many times as fast two are, turn by turn."""
    return [one / two for one, two in zip(row["seconds"]["1"], row["seconds"]["2"], strict=True)]


def page(held: dict) -> str:
    if len(held["kinds"]) < len(KINDS):
        return not_measured(TITLE, "scaling")
    ratios, rows, loads = {}, [], []
    for kind, row in held["kinds"].items():
        one, two = (row["seconds"][number] for number in ("1", "2"))
        ratios[kind] = median(times(row))
        loads.append(row["load"])
        every = ", ".join(plain(each, 3) for each in times(row))
        rows.append([kind, plain(median(one), 3), plain(median(two), 3), plain(ratios[kind], 3), every])
    told = ", ".join(f"{kind} {plain(ratio, 3)}" for kind, ratio in ratios.items())
    busy = (
        f"\nThe machine did other work besides (a load of up to {plain(max(loads), 3)} on its cores): two processes "
        "then get more of it than one does, and these ratios are no measure of an idle machine.\n"
        if max(loads) > IDLE
        else ""
    )
    header = ["Work", "one, s", "two, s", "times as fast", "turn by turn"]
    named = "".join(f"- {kind}: {text}\n" for kind, text in KINDS.items())
    notes = (
        f"{work.SAMPLES} best of {work.BEST_OF} of utr5 in blocks of {work.BLOCK}; {work.STEPS} steps of "
        f"{work.TRAJECTORIES} trajectories; {work.OBJECTS} objects. Starting processes is not counted.\n"
    )
    first = opening(
        TITLE,
        f"**Two processes are so many times as fast as one: {told}; 2 would be all.**",
        {NAME: "Times as fast, of two processes"},
    )
    more = paper.section(ratios, median(held["kinds"]["training"]["seconds"]["1"]))
    end = reproduce("scaling", held)
    return f"{first}{busy}\n{markdown_table(header, rows)}\n{named}{more}\n{notes}\n{end}"
