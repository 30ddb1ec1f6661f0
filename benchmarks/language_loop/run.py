"""What svlearn's loop costs beside transformers' own `generate`: texts of one model, in turns, as ratios.

    python -m benchmarks language_loop

The model is stories260k, on float32, under one prompt: 64 texts of 100 tokens that do not end, by `generate` with
sampling, by `ancestral`, and by `smc` with groups of 16 whose weights vary, so that they are resampled; and the memory
of what is kept as the group grows, with the peak of a fresh process. Each turn runs all in changing order; a ratio of a
turn is of seconds of the processor. docs/leaderboards/language_loop.md is written from the results.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch

import svlearn as sv
from benchmarks.common.clock import timed
from benchmarks.common.dots import OTHER, Dot, Panel, chart
from benchmarks.common.pages import folded, not_measured, opening, reproduce
from benchmarks.common.paths import PAGES
from benchmarks.common.results import Results
from benchmarks.language_loop import peaks
from benchmarks.language_loop.problem import PARTICLES, PROMPT, TOKENS, process, samplers
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.provenance import provenance

EMPTY: dict[str, dict] = {"loops": {}, "memory": {}, "peaks": {}}
RESULTS, PAGE = Results("language_loop", EMPTY), PAGES / "language_loop.md"
TEXTS, TURNS = 64, 9
GROUPS, PEAKS = (4, 16, 64, 256), (1, 4, 16, 64)
NAME = "language_loop.svg"
TITLE = "What the loop costs beside transformers' own"
NOTES = """
{texts} texts of {tokens} new tokens under "{prompt}" by stories260k (260,000 parameters, float32), one thread; {turns}
turns, each of all in changing order; seconds of the processor. Positions: how many tokens are computed; the prompt is
computed once for all texts, the last token not at all. In SMC ({particles} particles a group,
systematic, at half the effective sample size) the value of a text is a fixed function of its last token, so that
weights vary: of {steps} steps, {resampled} resampled on average. Cache: keys and values of one group at its last step.
Peak: the largest resident memory of a fresh process that draws {groups} such groups of SMC, less what it held before,
all libraries loaded and one text drawn; cache beside it: that of all groups.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def measure(options: argparse.Namespace) -> None:
    RESULTS.write(EMPTY | RESULTS.read())
    RESULTS.finish(turns, "loops", "turns")
    for number in GROUPS:
        RESULTS.finish(partial(memory, number), "memory", str(number))
    for number in PEAKS:
        RESULTS.finish(partial(peaks.of_a_process, number), "peaks", str(number))


def turns() -> dict:
    """Seconds of the processor of each, turn by turn, and the token positions that ours compute."""
    reference = process()
    known = samplers(reference, PARTICLES)
    tokens = torch.tensor([reference.tokenizer(PROMPT)["input_ids"]] * TEXTS)

    def generate() -> None:
        torch.manual_seed(1)  # `generate` takes no generator
        options = {"do_sample": True, "top_k": 0, "top_p": 1.0, "pad_token_id": 0}
        reference.model.generate(tokens, max_new_tokens=TOKENS, min_new_tokens=TOKENS, **options)

    def draw(name: str, groups: int) -> sv.Samples:
        return known[name].sample(groups, condition=[PROMPT] * groups, generator=torch.Generator().manual_seed(1))

    work: dict[str, Callable] = {
        "generate": generate,
        "ancestral": partial(draw, "ancestral", TEXTS),
        "SMC": partial(draw, "SMC", TEXTS // PARTICLES),
    }
    positions = {}
    for name, each in work.items():
        before = reference.positions
        each()
        positions[name] = reference.positions - before
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(TURNS):
        names = list(work)
        for name in names[turn % 3 :] + names[: turn % 3]:
            seconds[name].append(timed(work[name])[1])
    resampled = (
        known["SMC"].sample(8, condition=[PROMPT] * 8, generator=torch.Generator().manual_seed(1)).history.resampled
    )
    return {
        "seconds": seconds,
        "positions": positions,
        "resampled": float(resampled.double().sum(dim=1).mean()),
        "provenance": provenance(),
    }


def memory(number: int) -> dict:
    """Bytes of the keys and values of one group of this many particles at its last step."""
    reference = process()
    x = reference.initial(number, condition=[PROMPT] * number)
    previous, generator = None, torch.Generator().manual_seed(0)
    for t in range(TOKENS):
        times = torch.full((number,), t)
        previous = reference(x, times) if previous is None else reference(x, times, previous)
        x = previous.transition.sample(generator=generator)
    layers = previous.cache["past"].layers  # type: ignore[union-attr, index]
    held = sum(each.numel() * each.element_size() for layer in layers for each in (layer.keys, layer.values))
    return {"cache_bytes": held, "provenance": provenance()}


def pages() -> dict[Path, str]:
    held = RESULTS.read()
    return {PAGE: page(held)} | {PAGE.with_name(name): drawing for name, drawing in figures(held).items()}


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    if not held["loops"]:
        return {}
    found = {name: each for name, each in ratios_of(held).items() if name != "generate"}
    dots = [Dot(name, median(each), min(each), max(each), OTHER) for name, each in found.items()]
    label = "time over that of generate, median and range of turns"
    panel = Panel("As many tokens", label, dots, best="low", line=(1.0, "transformers' generate"))
    return {NAME: chart("language_loop", [panel])}


def ratios_of(held: dict) -> dict[str, list[float]]:
    """The seconds of each loop over those of `generate`, turn by turn."""
    seconds = held["loops"]["turns"]["seconds"]
    return {
        name: [own / theirs for own, theirs in zip(each, seconds["generate"], strict=True)]
        for name, each in seconds.items()
    }


def page(held: dict) -> str:
    if not held["loops"]:
        return not_measured(TITLE, "language_loop")
    row = held["loops"]["turns"]
    ratios = ratios_of(held)
    lines = ["| Loop | seconds | ratio, median | ratios | positions |", "| --- | --: | --: | --: | --: |"]
    for name, each in ratios.items():
        spread = f"{plain(min(each), 3)} to {plain(max(each), 3)}"
        number = f"{row['positions'][name]:,}" if name != "generate" else "–"
        cells = [name, plain(median(row["seconds"][name]), 3), plain(median(each), 3), spread, number]
        lines.append(f"| {' | '.join(cells)} |")
    memory = ["| Particles | cache, MB |", "| --: | --: |"]
    memory += [f"| {number} | {plain(each['cache_bytes'] / 1e6, 3)} |" for number, each in held["memory"].items()]
    if held.get("peaks"):
        memory += ["", "| Particles | cache, MB | peak, MB | peak/cache |", "| --: | --: | --: | --: |"]
        memory += [_peak(number, each) for number, each in held["peaks"].items()]
    lines += ["", folded("Memory", "\n".join(memory))]
    first = (
        f"**For as many tokens `ancestral` takes {plain(median(ratios['ancestral']), 3)} times what `generate` does, "
        f"and SMC with {PARTICLES} particles {plain(median(ratios['SMC']), 3)} times.**"
    )
    notes = NOTES.format(
        texts=TEXTS,
        tokens=TOKENS,
        prompt=PROMPT,
        turns=TURNS,
        particles=PARTICLES,
        steps=TOKENS,
        resampled=plain(row["resampled"], 2),
        groups=peaks.GROUPS,
    )
    head = opening(TITLE, first, {NAME: "Time of svlearn's loops over that of transformers' own"})
    return "\n".join([head, *lines, notes, reproduce("language_loop", held)])


def _peak(number: str, entry: dict) -> str:
    above = entry["peak_bytes"] - entry["start_bytes"]
    cells = [number, *(plain(each / 1e6, 3) for each in (entry["cache_bytes"], above))]
    return f"| {' | '.join([*cells, plain(above / entry['cache_bytes'], 2)])} |"
