"""The page of what GDSS costs, written from the results of the studies gdss_networks and gdss_step."""

from benchmarks.common.dots import FREE, LEARNED, OTHER, Dot, Panel, chart
from benchmarks.common.pages import markdown_table, opening, reproduce
from svlearn.evaluation.report.numbers import plain

AUTHORS = {"evaluations": 30, "milliseconds": 211.0, "scoring": 39.0}  # of SVDD-PM, M = 10, a molecule and step

TITLE, NAME = "GDSS: what it costs", "gdss_speed.svg"
PAGE = """\
{opening}
Milliseconds on two cores, beside the authors' own code as it was timed on such a machine: {authors_ms} ms a molecule
for one evaluation of both networks, and for a corrected step of SVDD-PM (M = 10) {milliseconds:g} ms, {scoring:g} of
them to decode and score, with {evaluations} evaluations. What was aimed for: {wanted_ms:g} and 26 ms.

## One evaluation of both networks

{batch} molecules of ZINC-250k's sizes, padded to {nodes} nodes; a row adds a change to the one above it (the last asks
for the gradient too), and stands for the median of {repeats} turns. *Plain* goes channel by channel over all entries,
as published.

{networks}
The score is the same to {difference:.0e}. Load of the machine before: {load:.1f}.

## A corrected step of a sampler

QED, {molecules} molecules, M = {candidates}, {steps} corrected steps; the networks on one thread, one process that
decodes and scores. A row of SVDD-PM takes one way of saving from the one above it. *Decoded* and *scored* are distinct
graphs and distinct molecules for which that was really done. Medians over turns ({turns}), and their range.

{step}
An evaluation is one of both networks for one molecule; a step needs M for the corrector's candidates and one for the
predictor's, and the start M - 1 more in all. *Times faster*: than the authors' {milliseconds:g} ms, by the wall.

{reproduce}"""


def page(networks: dict, step: dict) -> str:
    """The Markdown of both results."""
    first = next(iter(networks["checkpoints"].values()))
    return PAGE.format(
        **AUTHORS,
        authors_ms=networks["authors_ms"],
        wanted_ms=networks["wanted_ms"],
        batch=networks["batch"],
        nodes=networks["nodes"],
        repeats=first["repeats"],
        load=networks["load"],
        difference=max(each["largest_difference"] for each in networks["checkpoints"].values()),
        networks=evaluations(networks["checkpoints"]),
        molecules=step["batch"],
        candidates=step["candidates"],
        steps=step["steps"],
        turns=step["turns"],
        step=sides(step["sides"]),
        opening=opening(TITLE, f"**{finding(networks, step)}**", {NAME: "Milliseconds of a molecule and step"}),
        reproduce=reproduce(
            "gdss_step",
            step,
            "The networks are timed by `python -m benchmarks gdss_networks`, into `benchmarks/results/gdss.json`. "
            f"Load of the machine at the start: {step['load']:.1f}.",
        ),
    )


def figures(step: dict) -> dict[str, str]:
    """SVG by file name: a corrected step of each sampler."""
    dots = []
    for name, row in step["sides"].items():
        kind = OTHER if name == "pretrained" else FREE if name.startswith("SVDD-PM") else LEARNED
        dots.append(Dot(name, row["wall_ms"], row["least_wall_ms"], row["largest_wall_ms"], kind))
    line = AUTHORS["milliseconds"], "SVDD-PM by the authors"
    label = "ms a molecule and step by the wall; range of turns"
    return {NAME: chart("gdss_speed", [Panel("Corrected step", label, dots, best="low", line=line, logarithmic=True)])}


def finding(networks: dict, step: dict) -> str:
    """How much faster than the authors' code, a step and an evaluation."""
    row = step["sides"]["SVDD-PM"]
    own = min(each["wall_ms"] for each in next(iter(networks["checkpoints"].values()))["sides"].values())
    return (
        f"A corrected step of SVDD-PM takes {plain(row['wall_ms'], 3)} ms a molecule, "
        f"{plain(AUTHORS['milliseconds'] / row['wall_ms'], 2)} times faster than the authors' code, with "
        f"{plain(row['reference_calls'], 3)} evaluations of the networks for their {AUTHORS['evaluations']}; one "
        f"evaluation takes {plain(own, 2)} ms, theirs {networks['authors_ms']} ms."
    )


def evaluations(checkpoints: dict) -> str:
    """Milliseconds of a molecule by change, for both checkpoints."""
    header = ["Change"]
    for name in checkpoints:
        header += [f"{name}, wall", f"{name}, processors", f"{name}, times faster"]
    rows = []
    for side in next(iter(checkpoints.values()))["sides"]:
        cells = [side]
        for entry in checkpoints.values():
            row = entry["sides"][side]
            cells += [plain(row["wall_ms"], 3), plain(row["cpu_ms"], 3), plain(row["wall_speedup"], 2)]
        rows.append(cells)
    return markdown_table(header, rows)


def sides(figures: dict) -> str:
    """Milliseconds of a molecule and step, with the spread over turns."""
    header = [
        "Sampler",
        "ms, wall",
        "ms, processors",
        "Evaluations",
        "Value calls",
        "Decoded",
        "Scored",
        "Times faster",
    ]
    rows = []
    for name, row in figures.items():
        clocks = [
            f"{plain(row[each], 3)} ({plain(row[f'least_{each}'], 3)} to {plain(row[f'largest_{each}'], 3)})"
            for each in ("wall_ms", "cpu_ms")
        ]
        counts = [plain(row[each], 3) for each in ("reference_calls", "value_calls", "built", "scored")]
        faster = plain(AUTHORS["milliseconds"] / row["wall_ms"], 2) if name.startswith("SVDD-PM") else "–"
        rows.append([name, *clocks, *counts, faster])
    return markdown_table(header, rows)
