"""Speeds and laws of bfloat16, torch.compile and CUDA graphs on the device at hand, a GPU where there is one.

    benchmarks/gpu/run.sh                       # the same as python -m benchmarks gpu
    python -m benchmarks gpu --device cpu

Each shipped reference draws plain samples in each way; the log-probabilities of its steps are held against those in
float32, and SMC with a network as value against an exact Z. On the CPU the batches are small. Results are kept by
device in benchmarks/results/gpu.json, from which docs/leaderboards/gpu.md is written.
"""

import argparse
import platform
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

import svlearn as sv
from benchmarks.common.clock import timed
from benchmarks.common.command import add_again, add_choice
from benchmarks.common.dots import OTHER, Dot, Panel, chart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.gpu.law import Way, log_prob_errors, ratio_of_normalizers
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance
from svlearn.randomness import seeded

RESULTS, PAGE = Results("gpu", {"devices": {}}), PAGES / "gpu.md"
NAME = "gpu.svg"
TITLE = "Half precision, compilation and CUDA graphs"
REFERENCES = {"digits": 256, "qm9": 512, "utr5": 512}  # samples in a batch on a GPU
ON_CPU, TURNS = 8, 3  # samples in a batch there; turns that are timed
WAYS = {  # what is compiled, how, and whether matrices are multiplied in bfloat16
    "float32": (None, False),
    "bfloat16 autocast": (None, True),
    "compiled": ("default", False),
    "compiled, bfloat16": ("default", True),
    "CUDA graphs": ("reduce-overhead", False),
    "CUDA graphs, bfloat16": ("reduce-overhead", True),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    add_choice(parser, "--ways", WAYS)
    add_choice(parser, "--references", REFERENCES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help=f"samples at a time (default: {ON_CPU} on the CPU)")
    add_again(parser)


def measure(options: argparse.Namespace) -> None:
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    if name not in RESULTS.read()["devices"]:
        RESULTS.finish(dict, "devices", name)
    for reference in options.references:
        batch = options.batch or (REFERENCES[reference] if device.type == "cuda" else ON_CPU)
        for way in options.ways:
            if device.type != "cuda" and WAYS[way][0] == "reduce-overhead":
                continue
            made = partial(measured, reference, way, device, batch)
            RESULTS.finish(made, "devices", name, f"{reference}/{way}", again=options.again)


def way_of(name: str, device: torch.device) -> Way:
    """The context in which all is computed."""
    if not WAYS[name][1]:
        return nullcontext
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


def measured(name: str, way: str, device: torch.device, batch: int) -> dict[str, Any]:
    """Seconds a sample, the first call apart, and what became of the law."""
    reference, mode = sv.load(name).to(device), WAYS[way][0]
    other: Any = reference if mode is None else torch.compile(reference, mode=mode)
    context = way_of(way, device)
    sampler = sv.ancestral(other)

    def draw() -> None:
        with context():
            sampler.sample(batch, generator=seeded(device, 0))
        if device.type == "cuda":
            torch.cuda.synchronize()

    first = timed(draw)[0]
    seconds = [timed(draw)[0] for _ in range(TURNS)]
    return {
        "batch": batch,
        "first_seconds": first,
        "seconds_per_sample": [each / batch for each in seconds],
        "log_prob": log_prob_errors(reference, other, context, min(batch, 32)),
        "normalizer": ratio_of_normalizers(device, context, mode, 400),
        "provenance": provenance(),
    }


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name: a panel a device."""
    panels = []
    for device, rows in held["devices"].items():
        dots = []
        for name, row in rows.items():
            reference, way = name.split("/")
            if (plain_row := rows.get(f"{reference}/float32")) is not None and way != "float32":
                base, own = median(plain_row["seconds_per_sample"]), row["seconds_per_sample"]
                dots.append(Dot(f"{reference}: {way}", base / median(own), base / max(own), base / min(own), OTHER))
        if dots:
            label, line = "times as fast as float32, median and range of turns", (1.0, "float32")
            panels.append(Panel(device, label, dots, line=line, logarithmic=True))
    return {NAME: chart("gpu", panels)} if panels else {}


def page(held: dict) -> str:
    measured = {name: _part(name, rows) for name, rows in held["devices"].items() if rows}
    parts = [part for _, part in measured.values()]
    if not parts:
        return not_measured(TITLE, "gpu")
    notes = (
        "Seconds on the wall, the median of turns after a first one, which compiles. The error of a trajectory is the "
        "root mean square of what Σ_t log p(x_{t+1}|x_t) is off, nats. E[Z_hat]/Z is of SMC on a linear-Gaussian chain "
        "by a random network as value, ± one standard error: 1 is exact. Who has a GPU runs `benchmarks/gpu/run.sh`.\n"
    )
    absent = "" if any(not name.startswith("CPU") for name in held["devices"]) else "**No GPU was at hand so far.** "
    said = " ".join(told for told, _ in measured.values() if told) or "Nothing is measured beside float32 yet."
    head = opening(TITLE, f"**{said}**", {NAME: "How many times as fast as float32"})
    return "\n".join([head, *parts, f"{absent}{notes}", reproduce("gpu", held)])


def _part(device: str, rows: dict[str, Any]) -> tuple[str, str]:
    """What was found on a device, and its table."""
    seconds = {name: median(row["seconds_per_sample"]) for name, row in rows.items()}
    gains: dict[str, float] = {}
    for name in rows:
        reference, way = name.split("/")
        base = seconds.get(f"{reference}/float32")
        if base is not None and way != "float32":
            gains[name] = base / seconds[name]
    best: Callable[[str], float] = gains.__getitem__
    told = ""
    if gains:
        top = max(gains, key=best)
        off = rows[top]["log_prob"]["of_a_trajectory_nats"]
        told = (
            f"On {device} the fastest beside float32 is {top.split('/')[1]} of {top.split('/')[0]}, "
            f"{plain(gains[top], 3)} times as fast; its trajectories' log-probabilities are off by "
            f"{plain(off, 2)} nats."
        )
    table = [
        [
            *name.split("/"),
            str(row["batch"]),
            plain(seconds[name] * 1e3, 3),
            "–" if name not in gains else plain(gains[name], 3),
            plain(row["log_prob"]["mean_of_a_step_nats"], 2),
            plain(row["log_prob"]["of_a_trajectory_nats"], 2),
            f"{row['normalizer']['ratio']:.3f} ± {row['normalizer']['standard_error']:.3f}",
        ]
        for name, row in rows.items()
    ]
    header = ["Reference", "Way", "Batch", "ms a sample", "times as fast", "step's error", "trajectory's", "E[Z_hat]/Z"]
    return told, f"## {device}\n\n{markdown_table(header, table, left=2)}"
