"""The page of GDSS and its figure, written from their results by benchmarks/gdss_table.py."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rdkit import Chem

from drawing import style, svg
from svlearn.domains.molecules import metrics
from svlearn.evaluation.report.figures import COLORS, MARKERS
from svlearn.evaluation.report.numbers import between, plain, with_error
from svlearn.evaluation.summary import reward_figures

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
LEARNED, FREE, FAMILY, ELSEWHERE = "SVDD-MC", "SVDD-PM", "SVDD, ", "chosen at the predictor"
COSTS = {
    "reference_calls": "Reference calls",
    "value_calls": "Value calls",
    "gradient_calls": "Gradient calls",
    "reward_calls": "Reward calls",
    "cpu_seconds": "Seconds",
}
NORMAL, WANTED = 1.96, 128

INTRODUCTION = """\
# GDSS: table 2 of the SVDD paper

QED and SA, scaled to [0, 1], of molecules from the paper's own model: the authors' checkpoint of GDSS for ZINC-250k,
200 steps, each with its corrector, so that the process has 400. alpha = 0, and M = N = 10 where a row says nothing
else; of a corrector's step and the predictor's after it, the corrector's has the candidates. Valences are repaired as
GDSS does, and the largest piece is scored.
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
| SVDD, and a family | as SVDD-MC, by another family of `configs/molecules/gdss/values`; soft values at alpha = 0.1 |
| DPS | single samples moved by the gradient of a reward network at x̂_T |
| classifier guidance | single samples moved by the gradient of the learned value at the step's mean |
"""
NOTES = """\
± is one standard error of the molecules and quantiles have 95 % bootstrap intervals; neither holds the chance of
training, which was done once for each reward. Valid and one piece are shares before repair. Distinct is the share of
distinct molecules after it, diversity the mean Tanimoto distance of pairs. Seconds are those of the processor for a
molecule, of one thread and of the worker that scores, without those of training; the machines were of two kinds, and
more or less busy, which makes a row up to twice as slow: [what GDSS costs](gdss_speed.md) has samplers timed side by
side. The learned value is a GIN fitted by Monte Carlo regression to {trajectories:,} trajectories of the reference, a
tenth of which validates (`configs/molecules/gdss`); best-of-10 is made of as many, and its seconds are ten times those
of `pretrained`. The reward network of DPS, the same GIN at t = T, learned from 20,000 molecules of ZINC-250k: its calls
stand among the reward calls. The strength of both kinds of guidance is the best of four, tried on 32 other molecules.
"""
ORIGIN = """\
Machine: {cpu}, {cores} cores shared with other work, one thread. All batches, with commit and date:
`benchmarks/results/gdss_table.json`, written by `benchmarks/gdss_table.py`, which goes on where it was stopped and
writes this page too.
"""


@dataclass(frozen=True)
class Drawn:
    """The batches of a row, of one seed."""

    reward: str
    name: str
    batches: list[dict]

    @cached_property
    def rewards(self) -> np.ndarray:
        return np.array([each for batch in self.batches for each in batch["rewards"]])

    @cached_property
    def figures(self) -> dict[str, float]:
        return reward_figures(self.rewards[None], np.random.default_rng(0))

    @property
    def mean(self) -> tuple[float, float]:
        return self.figures["mean_reward"], self.figures["mean_reward_standard_error"]

    @property
    def label(self) -> str:
        strength = self.batches[0].get("strength")
        return self.name if strength is None else f"{self.name}, strength {strength:g}"

    @property
    def candidates(self) -> int | None:
        """M of a row of SVDD-MC or SVDD-PM."""
        for kind in (LEARNED, FREE):
            if self.name == kind:
                return 10
            if self.name.startswith(f"{kind}, M = "):
                return int(self.name.removeprefix(f"{kind}, M = "))
        return None

    def cost(self, name: str) -> float:
        return fmean(batch["per_molecule"][name] for batch in self.batches)

    def quantile(self, level: int) -> str:
        low, high = (self.figures[f"reward_quantile_{level}_{end}"] for end in ("low", "high"))
        return f"{self.figures[f'reward_quantile_{level}']:.3f} ({between(low, high)})"

    @cached_property
    def molecules(self) -> dict[str, float]:
        smiles = [text for batch in self.batches for text in batch["smiles"]]
        found = [None if text is None else Chem.MolFromSmiles(text) for text in smiles]
        return {
            "Valid": fmean(each for batch in self.batches for each in batch["valid"]),
            "One piece": fmean(batch["one_piece"] for batch in self.batches),
            "Distinct": metrics.uniqueness(found),
            "Diversity": metrics.internal_diversity(found),
        }


def gather(held: dict) -> dict[str, dict[str, Drawn]]:
    """The rows by reward and name; what only a strength was chosen by is not among them."""
    found: dict[str, dict[str, list[dict]]] = {}
    for key, batch in held["batches"].items():
        reward, name, *_ = key.split("/")
        if ", strength " not in name:
            found.setdefault(reward, {}).setdefault(name, []).append(batch)
    return {reward: {name: Drawn(reward, name, own) for name, own in rows.items()} for reward, rows in found.items()}


def machines(held: dict) -> dict[str, Any]:
    """The processors that batches were drawn on, each once, and how many cores one has."""
    drawn = [batch["provenance"] for batch in held["batches"].values()]
    return {"cpu": " or ".join(dict.fromkeys(each["cpu"] for each in drawn)), "cores": drawn[0]["cores"]}


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    rows = gather(held)
    if not rows:
        return "# GDSS: table 2 of the SVDD paper\n\nNot yet measured: run benchmarks/gdss_table.py.\n"
    absent = [f"all of {reward} (0)" for reward in PAPER if reward not in rows]
    absent += [f"{each} of {reward} (0)" for reward in rows for each in PAPER[reward] if each not in rows[reward]]
    short = [
        f"{row.name} of {row.reward} ({len(row.rewards)})"
        for each in rows.values()
        for row in each.values()
        if len(row.rewards) < WANTED
    ]
    return "\n".join(
        [
            INTRODUCTION.format(wanted=WANTED, short="; ".join(short + absent) or "none"),
            "## What came out\n",
            *[line for reward in rows for line in findings(reward, rows[reward])],
            "\n![Mean reward and quantiles against seconds a molecule](gdss_time.svg)\n",
            "Bars are 95 % intervals of the mean.\n",
            *[f"## {reward}\n\n{table(reward, rows[reward].values())}" for reward in rows],
            METHODS,
            "## What was learned\n",
            training(held["training"]),
            NOTES.format(trajectories=1280),
            ORIGIN.format(**machines(held)),
        ]
    )


def findings(reward: str, rows: dict[str, Drawn]) -> list[str]:
    """Learned against training-free, at equal candidates and at equal seconds, and each against best-of-10."""
    lines = []
    if FREE in rows and LEARNED in rows:
        learned, free = rows[LEARNED], rows[FREE]
        share = free.cost("cpu_seconds") / learned.cost("cpu_seconds")
        lines.append(
            f"- **{reward}, M = 10**: SVDD-MC {with_error(*learned.mean)}, SVDD-PM {with_error(*free.mean)}; "
            f"{difference(learned, free)}. SVDD-PM costs {plain(share, 2)} times the seconds."
        )
        wider = [row for name, row in rows.items() if name.startswith((f"{LEARNED}, M", f"{LEARNED}, best"))]
        if wider:
            nearest = min(wider, key=lambda row: abs(math.log(row.cost("cpu_seconds") / free.cost("cpu_seconds"))))
            lines.append(
                f"- **{reward}, at the seconds of SVDD-PM** ({plain(free.cost('cpu_seconds'), 2)}), the nearest that "
                f"was run is {nearest.name} ({plain(nearest.cost('cpu_seconds'), 2)}): {with_error(*nearest.mean)}; "
                f"{difference(nearest, free)}."
            )
    for kind in (FREE, LEARNED):
        elsewhere = rows.get(f"{kind}, {ELSEWHERE}")
        if kind in rows and elsewhere is not None:
            lines.append(
                f"- **{reward}, where to choose**: {kind} {ELSEWHERE}, at equal calls, {with_error(*elsewhere.mean)}; "
                f"{difference(elsewhere, rows[kind])}. Its noise is the smaller, and the correctors after it wash the "
                f"choice away."
            )
    families = {name: row for name, row in rows.items() if name.startswith(FAMILY) and name.count(", ") == 1}
    best = max(families, key=lambda name: families[name].mean[0], default=None)
    if best is not None and LEARNED in rows and FREE in rows:
        lines.append(
            f"- **{reward}, by another family**: the best of {len(families)} is {best.removeprefix(FAMILY)}, "
            f"{with_error(*rows[best].mean)} at M = 10; against SVDD-MC {difference(rows[best], rows[LEARNED])}."
        )
        for name in (each for each in rows if each.startswith(f"{best}, ")):
            lines[-1] += f" {name} takes {plain(rows[name].cost('cpu_seconds'), 2)} seconds: "
            lines[-1] += f"{with_error(*rows[name].mean)}; against SVDD-PM {difference(rows[name], rows[FREE])}; "
            shares = [f"{row.molecules['Distinct']:.0%}" for row in (rows[name], rows[FREE])]
            lines[-1] += f"{shares[0]} of its molecules are distinct, of SVDD-PM's {shares[1]}."
    baseline = rows.get("best-of-10")
    others = [name for name in (LEARNED, FREE, best, "DPS") if name in rows]
    if baseline is not None and others:
        told = "; ".join(f"{name} {difference(rows[name], baseline, short=True)}" for name in others)
        lines.append(f"- **{reward}, against best-of-10** ({with_error(*baseline.mean)}): {told}.")
    plain_row = rows.get("pretrained")
    if plain_row is not None:
        whole = plain_row.molecules["One piece"]
        broken = [row for row in rows.values() if row.molecules["One piece"] < whole / 2]
        if broken:
            told = ", ".join(f"{row.label} {row.molecules['One piece']:.0%}" for row in broken)
            lines.append(
                f"- **{reward}, what it does not see**: it is that of the largest piece; these rows have few graphs "
                f"in one piece ({whole:.0%} of the pretrained): {told}."
            )
    return lines


def difference(one: Drawn, other: Drawn, short: bool = False) -> str:
    """How far apart two means are, and whether at 95 %."""
    gap, error = one.mean[0] - other.mean[0], math.hypot(one.mean[1], other.mean[1])
    told = with_error(gap, error, sign=True)
    if abs(gap) <= NORMAL * error:
        told += ", not told apart at 95 %"
    return told if short else f"the difference is {told}"


def table(reward: str, rows: Iterable[Drawn]) -> str:
    header = ["Row", "Molecules", "Mean", "80 %", "90 %", "Paper, 80 / 90 %"]
    header += ["Valid", "One piece", "Distinct", "Diversity", *COSTS.values()]
    cells = [header, ["---", *["--:"] * (len(header) - 1)]]
    for row in sorted(rows, key=lambda row: row.mean[0]):
        published = PAPER[reward].get(row.name)
        cells.append(
            [row.label, str(len(row.rewards)), with_error(*row.mean), row.quantile(80), row.quantile(90)]
            + ["–" if published is None else " / ".join(f"{each:.3f}" for each in published)]
            + [plain(each, 3) for each in row.molecules.values()]
            + [plain(row.cost(name), 3) for name in COSTS]
        )
    return "".join(f"| {' | '.join(each)} |\n" for each in cells)


def training(found: dict) -> str:
    """What each network took, and how well DPS's tells the reward of the reference's own molecules."""
    lines = []
    for name, cost in found.items():
        told = f"- `{name.removesuffix('/cost.json').removesuffix('.json')}`: {plain(cost['cpu_seconds'], 3)} seconds"
        if "pearson" in cost:
            told += f"; its correlation with the reward on finished molecules of the reference is {cost['pearson']:.2f}"
        lines.append(told + ".")
    return "\n".join(lines) + "\n"


def figure(held: dict) -> str:
    """Reward against seconds: SVDD-MC and SVDD-PM by M, the other rows as points."""
    rows = gather(held)
    with style("gdss"):
        drawing = Figure(figsize=(9, 4.8))
        panels = drawing.subplots(1, 2, squeeze=False)[0]
        others = list(dict.fromkeys(name for own in rows.values() for name, row in own.items() if not row.candidates))
        for axes, reward in zip(panels, PAPER):
            own = rows.get(reward, {})
            for color, kind in zip(COLORS, (LEARNED, FREE)):
                line = sorted(
                    (row for name, row in own.items() if row.candidates and name.startswith(kind)),
                    key=lambda row: row.cost("cpu_seconds"),
                )
                points(axes, line, kind, color=color, marker="o", linestyle="-")
                for row in line:
                    place = (row.cost("cpu_seconds"), row.mean[0])
                    axes.annotate(f"{row.candidates}", place, (4, -11), textcoords="offset points", color=color)
            for number, name in enumerate(others):
                color, marker = COLORS[(number + 2) % len(COLORS)], MARKERS[(number + 1) % len(MARKERS)]
                points(axes, [own[name]] if name in own else [], name, color=color, marker=marker, linestyle="none")
            axes.set(xscale="log", xlabel="seconds a molecule", ylabel=f"mean {reward}")
        return svg(drawing, panels[0], 4)


def points(axes: Axes, rows: list[Drawn], label: str, **look: Any) -> None:
    axes.errorbar(
        [row.cost("cpu_seconds") for row in rows],
        [row.mean[0] for row in rows],
        [NORMAL * row.mean[1] for row in rows],
        label=label,
        capsize=2,
        markersize=5,
        **look,
    )
