"""The page of GDSS and its figure, written from their results."""

from collections.abc import Iterable

from matplotlib.figure import Figure

from benchmarks.common.figures import style, svg
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.figures import points
from benchmarks.gdss.rows import (
    FREE,
    LATE,
    LEARNED,
    NUM_STEPS,
    THEN_FREE,
    Drawn,
    gather,
    leading,
    number_in,
    start_of,
)
from benchmarks.gdss_table.findings import findings
from svlearn.evaluation.report.figures import COLORS, MARKERS
from svlearn.evaluation.report.numbers import plain, with_error

PAPER = {  # SVDD (arXiv 2408.08252), table 2: the 80 % and the 90 % quantile
    "QED": {
        "pretrained": (0.771, 0.812),
        "best-of-10": (0.881, 0.902),
        "DPS": (0.802, 0.843),
        "SVDD-MC": (0.912, 0.925),
        "SVDD-PM": (0.916, 0.928),
    },
    "SA": {
        "pretrained": (0.750, 0.803),
        "best-of-10": (0.916, 0.941),
        "DPS": (0.802, 0.849),
        "SVDD-MC": (1.0, 1.0),
        "SVDD-PM": (1.0, 1.0),
    },
}
COSTS = {
    "reference_calls": "Reference calls",
    "value_calls": "Value calls",
    "gradient_calls": "Gradient calls",
    "reward_calls": "Reward calls",
    "cpu_seconds": "Seconds",
}
WANTED = 128

TITLE = "GDSS: table 2 of the SVDD paper"
INTRODUCTION = """\
QED and SA, scaled to [0, 1], of molecules from the paper's own model: the authors' checkpoint of GDSS for ZINC-250k,
200 steps, each with its corrector, so that the process has 400. alpha = 0, and M = N = 10 where a row says nothing
else; of a corrector's step and the predictor's after it, the corrector's has the candidates. Valences are repaired as
GDSS does, and the largest piece is scored. What the authors' own sampler does, a fault of it included, stands [on a
page of its own](gdss_published.md).
A row has {wanted} molecules; with fewer as yet: {short}.
"""
METHODS = """\
## The rows

| Name | What it is |
| --- | --- |
| pretrained, best-of-10 | plain samples; the best of ten |
| SVDD-MC, SVDD-PM | candidates chosen among by the learned value, or by r(x̂_T) |
| ..., best of 5 | the best by reward of five such runs |
| chosen at the predictor | the predictor's steps have the candidates, and the corrector's one |
| ..., late | candidates from t = {late} of {num_steps} on only |
| ..., then SVDD-PM | the learned value chooses until t = {late}, or what is said, and r(x̂_T) from there |
| SVDD by r(x_t) | candidates chosen among by the reward of the noisy graph itself, rounded |
| SVDD, and a family | as SVDD-MC, by another family of `configs/molecules/gdss/values`; soft values at alpha = 0.1 |
| DPS | single samples moved by the gradient of a reward network at x̂_T |
| classifier guidance | single samples moved by the gradient of the learned value at the step's mean |
"""
NOTES = """\
± is one standard error of the molecules and quantiles have 95 % bootstrap intervals; neither holds the chance of
training, which was done once for each reward; what other trainings give stands [on a page of its
own](gdss_trainings.md). Valid and one piece are shares before repair. Distinct is the share of distinct molecules after
it, diversity the mean Tanimoto distance of pairs. KL is what that of paths to the reference's, KL(q || p_ref), and so
that of molecules, is at most: log n - 1 + 1/n for each best of n (`best_of_kl`; less where candidates have one value,
as many do); that of guidance is the mean of its own log q/p_ref (`reference_kl`). Seconds are those of the processor
for a molecule, of one thread and of the worker that scores, without those of training; the machines were of two kinds,
and more or less busy, which makes a row up to twice as slow: [what GDSS costs](gdss_speed.md) has samplers timed side
by side. The learned value is a GIN fitted by Monte Carlo regression to {trajectories:,} trajectories of the reference,
a tenth of which validates (`configs/molecules/gdss`); svlearn ships it and the contrastive twist
(`checkpoints/gdss_values.md`). best-of-10 is made of as many trajectories, and its seconds are ten times those of
`pretrained`. The reward network of DPS, the same GIN at t = T, learned from 20,000 molecules of ZINC-250k: its calls
stand among the reward calls. The strength of both kinds of guidance is the best of four, tried on 32 other molecules.
"""


def page(held: dict, walls: dict[str, float]) -> str:
    """The Markdown of the results, as far as they go; walls: of `run.walls`."""
    rows = gather(held)
    if not rows:
        return not_measured(TITLE, "gdss_table")
    absent = [f"all of {reward} (0)" for reward in PAPER if reward not in rows]
    absent += [f"{each} of {reward} (0)" for reward in rows for each in PAPER[reward] if each not in rows[reward]]
    short = [
        f"{row.name} of {row.reward} ({len(row.rewards)})"
        for each in rows.values()
        for row in each.values()
        if len(row.rewards) < WANTED
    ]
    headline = ". ".join(f"{reward}: {leading(each)}" for reward, each in rows.items())
    return "\n".join(
        [
            opening(
                TITLE, f"**{headline}.**", {"gdss_time.svg": "Mean reward and quantiles against seconds a molecule"}
            ),
            "Bars are 95 % intervals of the mean.\n",
            INTRODUCTION.format(wanted=WANTED, short="; ".join(short + absent) or "none"),
            "## What came out\n",
            *[line for reward in rows for line in findings(reward, rows[reward], walls)],
            "",
            *[f"## {reward}\n\n{table(reward, rows[reward].values())}" for reward in rows],
            METHODS.format(late=LATE, num_steps=NUM_STEPS),
            "## What was learned\n",
            training(held["training"]),
            NOTES.format(trajectories=1280),
            reproduce("gdss_table", held),
        ]
    )


def table(reward: str, rows: Iterable[Drawn]) -> str:
    header = ["Row", "Molecules", "Mean", "80 %", "90 %", "Paper, 80 / 90 %"]
    header += ["Valid", "One piece", "Distinct", "Diversity", "KL, nats, at most", *COSTS.values()]
    cells = []
    for row in sorted(rows, key=lambda row: row.mean[0]):
        published = PAPER[reward].get(row.name)
        cells.append(
            [row.label, str(len(row.rewards)), with_error(*row.mean), row.quantile(80), row.quantile(90)]
            + ["–" if published is None else " / ".join(f"{each:.3f}" for each in published)]
            + [plain(each, 3) for each in row.molecules.values()]
            + [row.kl_in_words]
            + [plain(row.cost(name), 3) for name in COSTS]
        )
    return markdown_table(header, cells)


def training(costs: dict) -> str:
    """What each network took, and how well DPS's tells the reward of the reference's own molecules."""
    lines = []
    for name, cost in costs.items():
        line = f"- `{name.removesuffix('/cost.json').removesuffix('.json')}`: {plain(cost['cpu_seconds'], 3)} seconds"
        if "pearson" in cost:
            line += f"; its correlation with the reward on finished molecules of the reference is {cost['pearson']:.2f}"
        lines.append(line + ".")
    return "\n".join(lines) + "\n"


def figure(held: dict) -> str:
    """Reward against seconds: lines of rows that differ in M, or in when SVDD-PM takes over; the others as points."""
    rows = gather(held)
    names = list(dict.fromkeys(name for own in rows.values() for name in own))
    lines = list(dict.fromkeys(line for line, _ in map(place_on_line, names) if line is not None))
    others = [name for name in names if place_on_line(name)[0] is None]
    looks = {name: (COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)]) for k, name in enumerate([*lines, *others])}
    with style("gdss"):
        drawing = Figure(figsize=(9, 4.8))
        panels = drawing.subplots(1, 2, squeeze=False)[0]
        for axes, reward in zip(panels, PAPER):
            own = rows.get(reward, {})
            for name, (color, marker) in looks.items():
                placed = [(place_on_line(row.name), row) for row in own.values()]
                line = [(number, row) for (where, number), row in placed if name in (where, row.name)]
                line.sort(key=lambda each: each[0])
                points(axes, [row for _, row in line], name, color=color, marker=marker, linestyle="-")
                for number, row in line:
                    if number:
                        at = (row.cost("cpu_seconds"), row.mean[0])
                        axes.annotate(f"{number}", at, (4, -11), textcoords="offset points", color=color)
            axes.set(xscale="log", xlabel="seconds a molecule", ylabel=f"mean {reward}")
        return svg(drawing, panels[0], 4)


def place_on_line(name: str) -> tuple[str | None, int]:
    """The line that a row stands on, and by which number: M of SVDD-MC and SVDD-PM, or when SVDD-PM takes over."""
    if THEN_FREE in name:
        return name.partition(" from ")[0], start_of(name)
    for kind in (LEARNED, FREE):
        if name == kind or name.startswith(f"{kind}, M = "):
            return kind, number_in(r"M = (\d+)", name, 10)
    return None, 0
