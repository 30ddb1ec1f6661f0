"""The page of the leaderboard, from its results."""

import math
from collections.abc import Callable
from typing import Any

from benchmarks.common.pages import folded, markdown_table, opening, reproduce
from benchmarks.objectives.figures import NAME, ORACLES, by_family
from benchmarks.oracles.families import Family
from benchmarks.oracles.problems import Problem, Toy
from svlearn.evaluation.report.numbers import plain

# The least R² and the largest gap that are wanted; of the others (0.99, 0.01).
MARKS = dict.fromkeys(("gaussian10", "gaussian10-long"), (0.97, 0.05))
FOR_A_FEW = ("gaussian10-long",)  # only for the families that need so many steps
TITLE = "Objectives on the oracles"
OPENING = """
Every family of `svlearn.objectives` on processes whose values, log Z and p* are exact. On each oracle every family
draws the same number of trajectories (256 a step), at one learning rate that was not tuned family by family. A cell is
the mean over {seeds} seeds, with the least and the largest in brackets where they differ.

- **worst R²**: the least over t of R² of the value that was learned against the exact one, soft or mean as the family
  learns it, on 4000 trajectories; for the contrastive two after a constant c(t) is taken off.
- **gap**: the best ELBO of the policy's class less the policy's, nats. **KL(q‖p\\*)**, **KL(p\\*‖q)**: of whole
  trajectories, nats. Exact by enumeration on the Markov chain and the token tree; on the linear-Gaussian chains in
  closed form in x_{{t+1}}, averaged over 4000 trajectories; on the mixture estimated, the first from 4000 trajectories
  of q, the second by SMC with the diffusion's exact value and 4000 particles, both with log Z from five such groups.
- **\\|Δ log Z\\|**: mean over 50 groups of 100 particles of the error of a group's log Z, nats; **ESS**: the effective
  sample size as a share, mean over groups. Of SMC with the value as twist, resampled at every step, the ESS then being
  the least over t; or with the policy as proposal, without a twist and resampling: importance sampling of whole
  trajectories, the ESS being that of the finished ones.
- **seconds**: CPU seconds of one thread for the whole training, Lightning included; **steps/s**: optimiser steps a CPU
  second; **peak**: resident memory of the whole process, MiB, of which torch itself is about 400.
- A figure in bold meets its mark: worst R² above 0.99 and gap below 0.01 nats, with the plain MLP 0.97 and 0.05.
"""
TOY = """
Values steer the exact reversal of the diffusion, policies the Gaussian steps of its DDPM, whose own p\\* is another at
{steps} steps: the rows of the DDPM in the last table say how far. **Sinkhorn**: √ of the mean squared distance that the
entropic plan (blur 1) moves between 1000 guided samples and 1000 exact ones, mean and range over {repeats} repeats a
seed: "SMC" of one sample from each of 1000 groups of {few} particles, "alone" of the policy's own samples. The best
ELBO of a class is not known here, so there is no gap. R² is that of exp(v/alpha): v itself goes down to -80 between the
modes, where a network need not follow it; a mean value has no closed form, so it has no R².
"""

WANTED = 0.9
OVERHEAD = """## What Lightning costs

Steps a CPU second through `fit` over those of a bare loop with the same rollouts, loss, Adam, cosine decay and
clipping, in turns; the median of the ratios, in bold where it is at least 0.9. Lightning's own calls take a fixed part
of a millisecond a step, which only the smallest networks feel: on gaussian3 a whole step is a few milliseconds, on
gaussian10 it has a plain MLP. Target score matching asks for a reference that reverses a known noising, and so stands
on the mixture alone; the families of the forward process for steps that say what is expected of x_T, and so on the
token tree. Peak: of the memory of the process, through `fit` over the bare loop, where it was taken. By
`python -m benchmarks training_overhead`.
"""


def cell(entries: list[dict[str, Any]], name: str, scale: float = 1.0, digits: int = 3) -> str:
    """The mean over entries, and their range where it is wider than what is shown."""
    numbers = [scale * number for entry in entries for number in _numbers(entry.get(name))]
    if not numbers:
        return "–"
    low, high, mean = min(numbers), max(numbers), sum(numbers) / len(numbers)
    ends = plain(low, digits), plain(high, digits)
    return plain(mean, digits) if ends[0] == ends[1] else f"{plain(mean, digits)} ({ends[0]} to {ends[1]})"


def marked(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def costs(entries: list[dict[str, Any]]) -> list[str]:
    return [
        cell(entries, "trajectories", 1e-3),
        cell(entries, "cpu_seconds"),
        cell(entries, "steps_per_cpu_second"),
        cell(entries, "peak_memory_bytes", 2**-20),
    ]


def estimates(entries: list[dict[str, Any]]) -> list[str]:
    return [cell(entries, "log_z_error"), f"{cell(entries, 'ess', 100)} %"]


def values(problem: Problem, results: list[tuple[Family, list[dict[str, Any]]]]) -> str:
    """The families that learn a value."""
    least, toy = MARKS.get(problem.name, (0.99, 0.01))[0], isinstance(problem, Toy)
    titles = ["Family", "learns", "worst R²", "\\|Δ log Z\\|", "ESS", *["Sinkhorn, SMC"] * toy]
    rows = []
    for family, entries in results:
        bold = all(entry.get("worst_r2", -math.inf) > least for entry in entries)
        cells = [marked(cell(entries, "worst_r2", digits=4), bold), *estimates(entries)]
        rows.append([family.name, family.learns, *cells, *[cell(entries, "sinkhorn_smc")] * toy, *costs(entries)])
    return markdown_table([*titles, "trajectories (thousand)", "seconds", "steps/s", "peak"], rows)


def policies(problem: Problem, results: list[tuple[Family, list[dict[str, Any]]]]) -> str:
    """The families that train a policy."""
    largest, toy = MARKS.get(problem.name, (0.99, 0.01))[1], isinstance(problem, Toy)
    titles = ["Family", "gap", "KL(q‖p\\*)", "KL(p\\*‖q)", "\\|Δ log Z\\|", "ESS"]
    rows = []
    for family, entries in results:
        bold = all(_below(entry["gap"], largest) for entry in entries)
        cells = [marked(cell(entries, "gap"), bold), cell(entries, "reverse"), cell(entries, "forward")]
        samples = [cell(entries, "sinkhorn_smc"), cell(entries, "sinkhorn_alone")] if toy else []
        rows.append([family.name, *cells, *estimates(entries), *samples, *costs(entries)])
    more = ["Sinkhorn, SMC", "Sinkhorn, alone"] if toy else []
    return markdown_table([*titles, *more, "trajectories (thousand)", "seconds", "steps/s", "peak"], rows)


def yardsticks(problem: Problem, results: dict[str, dict[str, Any]]) -> str:
    """What can be reached, and what comes without learning."""
    toy = isinstance(problem, Toy)
    titles = ["To compare", "gap", "KL(q‖p\\*)", "KL(p\\*‖q)", "\\|Δ log Z\\|", "ESS"]
    rows = []
    for name, entry in results.items():
        samples = [cell([entry], "sinkhorn_smc"), cell([entry], "sinkhorn_alone")] if toy else []
        cells = [cell([entry], part) for part in ("gap", "reverse", "forward")]
        rows.append([name, *cells, *(estimates([entry]) if "ess" in entry else ["–", "–"]), *samples])
    return markdown_table([*titles, *(["Sinkhorn, SMC", "Sinkhorn, alone"] if toy else [])], rows)


def section(problem: Problem, families: list[Family], results: dict[str, Any]) -> str:
    """An oracle's heading and tables; empty where nothing is measured."""
    entries_of = []
    for family in families:
        start = f"{problem.name}/{family.name}/"
        entries = [entry for key, entry in results["entries"].items() if key.startswith(start)]
        if entries:
            entries_of.append((family, entries))
    if not entries_of:
        return ""
    note = TOY.format(steps=problem.reference.num_steps, few=3, repeats=3) if isinstance(problem, Toy) else ""
    setting = f"{problem.max_steps} steps, learning rate {problem.rates[0]:g}"
    if problem.rates[0] != problem.rates[1]:
        setting += f" for values and {problem.rates[1]:g} for policies"
    parts = [
        f"\n## {problem.title}\n",
        f"alpha = {problem.alpha:g}; {setting}; batches of {problem.batch_size}.\n{note}",
    ]
    learned = [pair for pair in entries_of if not pair[0].has_policy]
    trained = [pair for pair in entries_of if pair[0].has_policy]
    if learned:
        parts.append(values(problem, learned))
    if trained:
        parts.append(policies(problem, trained))
    parts.append(yardsticks(problem, results["yardsticks"].get(problem.name, {})))
    return "\n".join([*parts, *absent(problem, families, entries_of)])


def absent(problem: Problem, families: list[Family], measured: list[tuple[Family, list[dict[str, Any]]]]) -> list[str]:
    """What is not measured on an oracle, or of fewer seeds than the others; nothing of one that stands for a few."""
    if problem.name in FOR_A_FEW:
        return []
    most = max(len(entries) for _, entries in measured)
    fewer = [family.name for family, entries in measured if len(entries) < most]
    missing = [family.name for family in families if all(family != other for other, _ in measured)]
    said = [f"Not measured here: {'; '.join(missing)}."] * bool(missing)
    said += [f"Of fewer seeds than the others: {'; '.join(fewer)}."] * bool(fewer)
    return [f"{' '.join(said)}\n"] if said else []


def overhead(measured: dict[str, Any], problems: list[Problem], families: list[str]) -> str:
    """What `python -m benchmarks training_overhead` found, and what it lacks; empty where it has not run."""
    if not measured:
        return ""
    titles = ["Family", "oracle", "fit / bare loop", "lowest and highest", "ms a step more", "steps/s", "peak"]
    rows = []
    order = [problem.name for problem in problems]
    for key, entry in sorted(measured.items(), key=lambda item: order.index(item[0].split("/")[0])):
        oracle, family = key.split("/")
        share = marked(plain(entry["ratio"], 3), entry["ratio"] >= WANTED)
        ends = f"{plain(min(entry['ratios']), 3)} to {plain(max(entry['ratios']), 3)}"
        more = plain(entry["milliseconds_more"], 2)
        peak = plain(entry.get("peak_memory", math.nan), 3)
        rows.append([family, oracle, share, ends, more, plain(entry["steps_per_second"], 3), peak])
    names = {key.split("/")[1] for key in measured}
    missing = [family for family in families if family not in names]
    said = f"Not yet beside a bare loop: {'; '.join(missing)}.\n\n" if missing else ""
    table = folded("The ratio of each family", markdown_table(titles, rows))
    return f"\n{OVERHEAD}\n{table}\n{said}"


def page(
    results: dict[str, Any],
    measured: dict[str, Any],
    problems: list[Problem],
    families_of: Callable[[Problem], list[Family]],
) -> str:
    """The whole page, Markdown."""
    entries = results["entries"]
    seeds = len({key.rsplit("/", 1)[1] for key in entries})
    parts = [section(problem, families_of(problem), results) for problem in problems]
    names = list(dict.fromkeys(family.name for problem in problems for family in families_of(problem)))
    shows = "What is missing of R² and of the ELBO, by family and oracle"
    head = opening(TITLE, f"**{finding(results)}**", {NAME: shows}) + OPENING.format(seeds=seeds)
    foot = reproduce(("objectives", "training_overhead"), [results, measured])
    return head + "".join(parts) + overhead(measured, problems, names) + "\n" + foot


def finding(results: dict[str, Any]) -> str:
    """How many families meet their marks, where the others fall short, and who comes nearest on each oracle."""
    missed: dict[tuple[str, str], int] = {}
    met, best = 0, []
    for figure, place, what in (("worst_r2", 0, "values"), ("gap", 1, "policies")):
        nearest: dict[str, tuple[float, str]] = {}
        for (oracle, family), found in by_family(results, figure).items():
            mark, away = MARKS.get(oracle, (0.99, 0.01))[place], [1 - each if place == 0 else each for each in found]
            if all((each > mark) if place == 0 else (each < mark) for each in found):
                met += 1
            else:
                missed[what, oracle] = missed.get((what, oracle), 0) + 1
            mean = sum(away) / len(away)
            nearest[oracle] = min(nearest.get(oracle, (math.inf, "")), (mean, family))
        names = [f"{family} ({ORACLES[oracle]})" for oracle, (_, family) in nearest.items()]
        best.append(f"of {what} {', '.join(names)}")
    short = [f"{number} {what} on the {ORACLES[oracle]}" for (what, oracle), number in missed.items()]
    number = met + sum(missed.values())
    return (
        f"Of {number} pairs of a family and an oracle, {met} meet their mark"
        f"{', short of it: ' + ', '.join(short) if short else ''}. Nearest to the exact answer are {'; '.join(best)}."
    )


def _below(gap: float | None, largest: float) -> bool:
    return gap is not None and gap < largest


def _numbers(entry: Any) -> list[float]:
    return [] if entry is None else entry if isinstance(entry, list) else [entry]
