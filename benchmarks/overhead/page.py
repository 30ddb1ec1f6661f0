"""The page of the overhead, written from its results."""

from typing import Any

import numpy as np

from benchmarks.common.dots import Dot, Panel, chart
from benchmarks.common.pages import folded, markdown_table, opening, reproduce
from svlearn.evaluation.report.numbers import between, plain

WANTED, WANTED_MEMORY = 1.1, 1.2
PARTS = {
    "network": "networks",
    "process": "law",
    "reward": "reward",
    "propose": "propose",
    "gradient": "gradient",
    "judge": "judge",
    "select": "select",
    "survive": "survive",
    "record": "record",
    "bookkeeping": "rest",
}

TITLE, NAME = "What the loop costs", "overhead.svg"
INTRODUCTION = """\
Wall time of a sampler over that of the same network calls made bare: the same modules on the same batches, as many
times, gradients included, on the same machine in the same run.

The network is a perceptron of six residual blocks whose width was found at the start, so that its largest call of a
step takes about 5 ms of one thread; the process and the value have one each, of the same width. A
sample takes 45 steps: a graph of nine atoms, as QM9's, decides one place in each. Sampler and bare run took turns, ten
of each: a ratio is the median over turns, with their quartiles in brackets.

- **calls**: over the calls of the reference and of the value's network, which is what the loop calls.
- **networks**: over the networks alone; what makes a transition and x̂_T of their output then counts as overhead too.
- **operations**: tensor operations a step that the sampler makes beside those of the calls.
- **B, M**: B lineages of M candidates (svdd), B groups of M particles (smc), B · M single samples (guidance).
"""
PROFILE = """\
Microseconds a step, with a clock in each part, which the parts inside it stop. *law*: what the reference makes of its
network's output; *reward*: the target; *propose*: drawing candidates and their log p_ref - log q; *gradient*: guidance
around its network and backward pass; *judge*: calling and checking values, and weighing; *select*: who survives;
*survive*: copying those who do; *record*: the history; *rest*: all else, the sampler's start and end included.
"""
MEMORY = """\
## Memory

Peak resident memory of a fresh process at M = {many} candidates over that at M = {few}, with `max_batch` = {limit}. The
network's activations dominate: see `benchmarks/overhead/memory.py`. Above the start: less what the process held
before, of which torch and its libraries are most. What grows with M are the candidates themselves.
"""
KINDS = {"vectors": "Vectors, Gaussian steps", "tokens": "Tokens, categorical steps", "graphs": "Molecular graphs"}


def page(results: dict[str, Any]) -> str:
    """The Markdown of the results."""
    entries, memory, origin = results["entries"], results["memory"], results["provenance"]
    head = opening(TITLE, f"**{headline(entries)}**", {NAME: "Time of each sampler over that of its bare calls"})
    sections = [head, INTRODUCTION, verdict(entries)]
    for kind, title in KINDS.items():
        sections += [f"## {title}\n", ratios([each for each in entries if each["states"] == kind])]
    limits = {"few": memory[0]["few"]["candidates"], "many": memory[0]["many"]["candidates"]}
    sections += [folded("Where the rest goes", f"{PROFILE}\n{profiles(entries)}")]
    sections += [MEMORY.format(limit=memory[0]["max_batch"], **limits), peaks(memory)]
    sections.append(reproduce("overhead", results, f"One thread, torch {origin['torch']}."))
    return "\n".join(sections)


def figures(results: dict[str, Any]) -> dict[str, str]:
    """SVG by file name: a row for each kind of state and sampler, a dot for each number of lineages and candidates."""
    dots = []
    for each in results["entries"]:
        low, high = np.quantile(each["calls"]["wall_turns"], [0.25, 0.75])
        name, size = f"{each['states']}: {each['sampler']}", f"{each['groups']} × {each['candidates']}"
        dots.append(Dot(name, each["calls"]["wall"], low, high, size))
    label, line = "time over that of the bare calls; quartiles of turns", (WANTED, f"the mark, {WANTED}")
    return {NAME: chart("overhead", [Panel("B × M", label, dots, best="low", line=line)])}


def headline(entries: list[dict]) -> str:
    """How much the loop adds to its calls, and where most."""
    found = {f"{each['sampler']} on {each['states']}": each["calls"]["wall"] for each in entries}
    numbers = [each["calls"]["wall"] for each in entries]
    above = sum(number > WANTED for number in numbers)
    return (
        "Beside the same network calls made bare, the loop takes "
        f"{100 * (np.median(numbers) - 1):.0f} % more time in the median of {len(numbers)} settings, and "
        f"{100 * (max(numbers) - 1):.0f} % at most, in "
        f"{max(found, key=lambda name: found[name])}; {above} of them are above {WANTED}."
    )


def verdict(entries: list[dict]) -> str:
    """How many ratios meet the mark, and which do not."""
    lines = []
    for over in ("calls", "networks"):
        above = [each for each in entries if each[over]["wall"] > WANTED]
        middle = np.median([each[over]["wall"] for each in entries])
        within = f"Over the {over}, {len(entries) - len(above)} of {len(entries)} ratios are at most {WANTED}"
        names = [
            f"{each['states']}, {each['sampler']}, {each['groups']} × {each['candidates']} ({each[over]['wall']:.2f})"
            for each in above
        ]
        beyond = f"; above it, B × M before the ratio: {'; '.join(names)}" if names else ""
        lines.append(f"{within}, their median {middle:.2f}{beyond}.\n")
    return "\n".join(lines)


def ratios(entries: list[dict]) -> str:
    header, rows = ["Sampler", "B", "M", "calls", "networks", "operations", "bare, ms", "width"], []
    for each in entries:
        over = []
        for name in ("calls", "networks"):
            low, high = np.quantile(each[name]["wall_turns"], [0.25, 0.75])
            median = f"{each[name]['wall']:.3f}"
            over.append(f"{f'**{median}**' if each[name]['wall'] <= WANTED else median} ({between(low, high)})")
        size = str(each["groups"]), str(each["candidates"])
        rows.append([each["sampler"], *size, *over, f"{each['operations']:.0f}"])
        rows[-1] += [plain(each["bare_milliseconds"], 3), str(each["width"])]
    return markdown_table(header, rows)


def profiles(entries: list[dict]) -> str:
    """Of the size at which every kind of state was measured."""
    common = {(each["groups"], each["candidates"]) for each in entries if each["states"] != "vectors"}
    rows = []
    for each in entries:
        if (each["groups"], each["candidates"]) in common:
            parts = [f"{each['profile'].get(part, 0):.0f}" for part in PARTS]
            rows.append([each["states"], each["sampler"], *parts])
    return markdown_table(["States", "Sampler", *PARTS.values()], rows, left=2)


def peaks(memory: list[dict]) -> str:
    header, rows = ["Sampler", "groups", "ratio", "above the start", "M = 10, MiB", "M = 100, MiB"], []
    for each in memory:
        both = [plain(each[size]["peak_bytes"] / 2**20, 3) for size in ("few", "many")]
        cells = [f"{each[name]:.2f}" for name in ("ratio", "ratio_above_start")]
        marked = [f"**{cell}**" if float(cell) <= WANTED_MEMORY else cell for cell in cells]
        rows.append([each["sampler"], str(each["groups"]), *marked, *both])
    return markdown_table(header, rows)
