"""What svlearn's loop costs beside diffusers' own: plain samples of one network, in turns, as a ratio.

    python -m benchmarks pipeline_loop

The network is a UNet2DModel of the size of the shipped digits, random, without classes, with DDPM and DDIM (eta = 1) in
25 steps, 32 images at a time. Each turn runs the pipeline and the reference one after the other, with the same noise;
the ratio of a turn is of seconds of the processor. docs/leaderboards/pipeline_loop.md is written from the results.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

import svlearn as sv
from benchmarks.common.clock import timed
from benchmarks.common.dots import OTHER, Dot, Panel, chart
from benchmarks.common.pages import not_measured, opening, reproduce
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from svlearn.domains.images import DiffusersReference
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance

RESULTS, PAGE = Results("pipeline_loop", {"loops": {}}), PAGES / "pipeline_loop.md"
BATCH, STEPS, TURNS = 32, 25, 8
NAME = "pipeline_loop.svg"
TITLE = "What the loop costs beside diffusers' own"
NOTES = """
{batch} images of 28 x 28 in {steps} steps by one random UNet2DModel of the size of the shipped digits, one thread;
{turns} turns, each of both loops in changing order; seconds of the processor, a batch.
"""
KINDS = {"DDPM": (DDPMPipeline, DDPMScheduler, {}), "DDIM, eta = 1": (DDIMPipeline, DDIMScheduler, {"eta": 1.0})}


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def network() -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(24, 48, 48),
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
        attention_head_dim=16,
    ).eval()


def measure(options: argparse.Namespace) -> None:
    for kind in KINDS:
        RESULTS.finish(partial(turns, kind), "loops", kind)


def turns(kind: str) -> dict:
    """Seconds of the processor of both loops, turn by turn, and how far apart their images are."""
    make, scheduler, given = KINDS[kind]
    pipeline: Any = make(network(), scheduler())
    pipeline.set_progress_bar_config(disable=True)
    sampler = sv.ancestral(DiffusersReference(pipeline, STEPS))
    images: dict[str, torch.Tensor] = {}

    def theirs() -> None:
        generator = torch.Generator().manual_seed(1)
        out = pipeline(
            batch_size=BATCH, num_inference_steps=STEPS, generator=generator, output_type="np", **given
        ).images
        images["theirs"] = torch.as_tensor(out).permute(0, 3, 1, 2)

    def ours() -> None:
        states = sampler.sample(BATCH, generator=torch.Generator().manual_seed(1)).states[:, 0]
        images["ours"] = sampler.reference.images(states)

    for warm in (theirs, ours):
        warm()
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    for turn in range(TURNS):
        for name, work in (("theirs", theirs), ("ours", ours))[:: 1 if turn % 2 else -1]:
            seconds[name].append(timed(work)[1])
    apart = (images["ours"] - images["theirs"]).abs().max().item()
    return {"seconds": seconds, "largest_difference": apart, "provenance": provenance()}


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    if not held["loops"]:
        return {}
    found = {kind: ratios_of(row) for kind, row in held["loops"].items()}
    dots = [Dot(kind, median(each), min(each), max(each), OTHER) for kind, each in found.items()]
    label = "time over that of the pipeline, median and range of turns"
    panel = Panel("The same images", label, dots, best="low", line=(1.0, "diffusers' pipeline"))
    return {NAME: chart("pipeline_loop", [panel])}


def ratios_of(row: dict) -> list[float]:
    """Our seconds over theirs, turn by turn."""
    return [ours / theirs for ours, theirs in zip(row["seconds"]["ours"], row["seconds"]["theirs"], strict=True)]


def page(held: dict) -> str:
    if not held["loops"]:
        return not_measured(TITLE, "pipeline_loop")
    lines = ["| Scheduler | diffusers, s | svlearn, s | ratio, median | ratios | images differ by |"]
    lines += ["| --- | --: | --: | --: | --: | --: |"]
    ratios = {}
    for kind, row in held["loops"].items():
        seconds = row["seconds"]
        pairs = ratios_of(row)
        ratios[kind] = median(pairs)
        times = (plain(median(seconds[name]), 3) for name in ("theirs", "ours"))
        spread = f"{plain(min(pairs), 3)} to {plain(max(pairs), 3)}"
        cells = [kind, *times, plain(ratios[kind], 3), spread, plain(row["largest_difference"], 1)]
        lines.append(f"| {' | '.join(cells)} |")
    worst = max(ratios.values())
    first = f"**With the same noise both draw the same images; svlearn's loop takes {plain(worst, 3)} times at most.**"
    notes = NOTES.format(batch=BATCH, steps=STEPS, turns=TURNS)
    head = opening(TITLE, first, {NAME: "Time of svlearn's loop over that of diffusers' pipeline"})
    return "\n".join([head, *lines, notes, reproduce("pipeline_loop", held)])
