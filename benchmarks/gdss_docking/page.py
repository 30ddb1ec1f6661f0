"""The page of docking and its figure, written from their results."""

import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from rdkit import Chem

from benchmarks.common.estimates import apart, gap
from benchmarks.common.figures import style, svg
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.figures import points
from benchmarks.gdss.rows import LATE, THEN_FREE, Drawn, gather, leading
from benchmarks.gdss_docking.break_even import Paying, paying, section
from benchmarks.gdss_docking.training import ALPHA, FAMILY, START, TWIST
from benchmarks.gdss_table.batches import plain_costs
from svlearn.domains.molecules import metrics
from svlearn.evaluation.report.figures import COLORS, MARKERS
from svlearn.evaluation.report.numbers import between, plain, with_error
from svlearn.evaluation.summary import interval

PLAIN, LEARNED, FREE = "pretrained", "SVDD-MC", "SVDD-PM, docking every 20th step"
TWISTED = "SVDD, contrastive twist"
RELAY = f"{TWISTED}, {THEN_FREE}"
FORESEEN = "SVDD-PM by a surrogate"
BOTH = f"{TWISTED}, {THEN_FREE} by a surrogate"
NUMBER, WANTED = 5, 16
NO_CONFORMER = "ValueError: no conformer"
BEST = {PLAIN: "best-of-5", **{name: f"{name}, best of 5" for name in (LEARNED, TWISTED, FORESEEN, BOTH)}}
PAPER = {PLAIN: (7.15, 8.59), BEST[PLAIN]: (10.0, 10.67), LEARNED: (11.4, 12.4)}  # median and 90 % quantile, kcal/mol
COSTS = {
    "reference_calls": "Reference calls",
    "value_calls": "Value calls",
    "reward_calls": "Reward calls",
    "dockings": "Dockings",
    "failed": "Failed",
    "cpu_seconds": "Seconds",
}
TITLE = "Docking: GDSS against parp1"
INTRODUCTION = """\
How well molecules bind to parp1 by AutoDock Vina, in kcal/mol (more is better), from the SVDD paper's own model: the
authors' checkpoint of GDSS for ZINC-250k, 200 steps, each with its corrector. alpha = 0. Valences are repaired as GDSS
does, and the largest piece is docked, by one search (exhaustiveness 1), as in MOOD. A row has {wanted} molecules or
more; with fewer as yet: {short}.
"""
METHODS = """\
## The rows

| Name | What it is |
| --- | --- |
| pretrained | plain samples, those that the value learned from |
| best-of-5 | the best by docking of each five of them |
| SVDD-MC | M = 10 candidates a step, chosen among by the learned value: a molecule is docked at its end alone |
| SVDD, contrastive twist | the same with the value of that family, at alpha = {alpha} kcal/mol |
| ..., best of 5 | the best by docking of each five of such |
| SVDD-PM, docking every 20th step | there M = 5 candidates, chosen among by the docking score of x̂_T |
| ..., then SVDD-PM | the learned value until t = {late} of 400; from there M = 5 candidates at ten steps, docked |
| SVDD-PM by a surrogate | M = 10 candidates a step, by what forests foresee of the docking score of x̂_T |
| ..., then SVDD-PM by a surrogate | the learned value until t = {start} of 400, and that from there |
"""
NOTES = """\
± is one standard error of the molecules, and quantiles have 95 % bootstrap intervals; neither holds the chance of
training, which was done once. Costs are those of one molecule. A docking is one that was really made: a molecule that
comes again is not docked again. Failed dockings count as dockings and have reward 0. Seconds are those of the
processor, of one thread and of the workers that dock, without those of training. Valid is the share before repair,
distinct the share of distinct molecules after it, diversity the mean Tanimoto distance of pairs. What a surrogate is
asked stood among the reward calls when this was measured; svlearn counts it no more.

The paper's figures are of its later table: median and 90 %, its SVDD beside SVDD-MC here. It has a
docking program, an N and an M of its own, so that they tell the size to expect and no more.
"""


@dataclass(frozen=True)
class Docked(Drawn):
    """A row of molecules that were docked."""

    @property
    def median(self) -> str:
        low, high = interval(self.rewards, np.median, np.random.default_rng(0))
        return f"{np.median(self.rewards):.2f} ({between(low, high)})"

    @property
    def best_decile(self) -> str:
        low, high = (self.figures[f"reward_quantile_90_{end}"] for end in ("low", "high"))
        return f"{self.figures['reward_quantile_90']:.2f} ({between(low, high)})"

    def all_of(self, name: str) -> list:
        return [batch[name] for batch in self.batches]

    def all(self, name: str) -> list:
        return [each for part in self.all_of(name) for each in part]

    def best_of(self, number: int, name: str) -> "Docked":
        """The best of each `number` molecules, in their order, at so many times the cost."""
        groups = self.rewards[: len(self.rewards) // number * number].reshape(-1, number)
        rows = groups.argmax(axis=1) + number * np.arange(len(groups))
        kept = {each: [self.all(each)[row] for row in rows] for each in ("rewards", "smiles", "valid")}
        costs = {each: number * self.cost(each) for each in self.batches[0]["per_molecule"]}
        return Docked(self.reward, name, [kept | {"per_molecule": costs}])

    def described(self) -> list[float]:
        """Valid, distinct, diversity."""
        molecules = [None if text is None else Chem.MolFromSmiles(text) for text in self.all("smiles")]
        return [fmean(self.all("valid")), metrics.uniqueness(molecules), metrics.internal_diversity(molecules)]


def rows_of(held: dict) -> dict[str, Docked]:
    """The rows that were drawn and those made of them, by name."""
    rows = {}
    for drawn in gather(held).get("parp1", {}).values():
        rows[drawn.name] = row = Docked(drawn.reward, drawn.name, drawn.batches)
        if row.name in BEST and len(row.rewards) >= NUMBER:
            rows[BEST[row.name]] = row.best_of(NUMBER, BEST[row.name])
    return rows


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    rows = rows_of(held)
    if not rows:
        return not_measured(TITLE, "gdss_docking")
    short = [f"{row.name} ({len(row.rewards)})" for row in rows.values() if len(row.rewards) < WANTED]
    short += [f"{name} (0)" for name in (PLAIN, LEARNED, FREE) if name not in rows]
    headline = f"**In kcal/mol {leading({**rows})}.**"
    return "\n".join(
        [
            opening(TITLE, headline, {"docking_time.svg": "Mean score against seconds a molecule"}),
            "Bars are 95 % intervals of the mean.\n",
            INTRODUCTION.format(wanted=WANTED, short="; ".join(short) or "none"),
            "## What came out\n",
            *findings(rows, held["training"], held["trained"]),
            *price(rows, held),
            "",
            table(rows),
            *section(learned_rows(rows, held)),
            METHODS.format(alpha=ALPHA, late=LATE, start=START),
            *training(held["training"], held["trained"]),
            *forests(held.get("surrogate")),
            NOTES,
            reproduce("gdss_docking", held, "The value: `configs/molecules/gdss/rewards/parp1.yaml`."),
        ]
    )


def findings(rows: dict[str, Docked], learned: dict | None, trained: dict[str, float]) -> list[str]:
    """The learned value against no value, against as many dockings spent otherwise, and against SVDD-PM."""
    lines = []
    for one, other in (
        (LEARNED, PLAIN),
        (LEARNED, BEST[PLAIN]),
        (TWISTED, LEARNED),
        (TWISTED, BEST[PLAIN]),
        (BEST[LEARNED], BEST[PLAIN]),
        (BEST[TWISTED], BEST[PLAIN]),
        (LEARNED, FREE),
        (BEST[LEARNED], FREE),
        (FREE, BEST[PLAIN]),
        (RELAY, FREE),
        (RELAY, TWISTED),
        (RELAY, BEST[TWISTED]),
        (FORESEEN, PLAIN),
        (FORESEEN, FREE),
        (BOTH, TWISTED),
        (BOTH, BEST[PLAIN]),
        (BOTH, BEST[TWISTED]),
        (BOTH, FREE),
        (BOTH, RELAY),
        (BEST[BOTH], BEST[TWISTED]),
        (BEST[BOTH], BEST[PLAIN]),
    ):
        if one in rows and other in rows:
            lines.append(f"- **{one}** {verdict(rows[one], rows[other])}")
    drawn = [row for row in rows.values() if row.name not in BEST.values()]
    shares = ", ".join(f"{row.name} {row.cost('failed') / row.cost('dockings'):.2f}" for row in drawn)
    reports = [report for row in drawn for report in row.all_of("report")]
    failed, bare = (sum(report.get(each, 0) for report in reports) for each in ("failed", NO_CONFORMER))
    lines.append(
        f"- **Failed dockings** count as 0, which weighs on a mean and not on a median. Their shares: {shares}. "
        f"{bare} of {failed} are molecules without a conformer: cages too strained to be built."
    )
    if learned is not None and FREE in rows and LEARNED in rows:
        spent = learned["docking_cpu_seconds"] + trained[FAMILY]
        saved = rows[FREE].cost("cpu_seconds") - rows[LEARNED].cost("cpu_seconds")
        lines.append(
            f"- **Before its first molecule** the learned value had cost {spent:,.0f} seconds, with the dockings "
            f"that it learned from. A molecule of SVDD-MC takes {plain(saved, 2)} seconds less than one of SVDD-PM, "
            f"so that {math.ceil(spent / saved)} molecules pay for it."
        )
    return lines


def price(rows: dict[str, Docked], held: dict) -> list[str]:
    """What the twist and the surrogate cost together, and how many molecules pay for them."""
    learned, trained, forest = held["training"], held["trained"], held.get("surrogate")
    if learned is None or forest is None or TWIST not in trained or not {BOTH, BEST[PLAIN]} <= rows.keys():
        return []
    spent = learned["docking_cpu_seconds"] + trained[TWIST] + forest["cpu_seconds"]
    saved = rows[BEST[PLAIN]].cost("cpu_seconds") - rows[BOTH].cost("cpu_seconds")
    return [
        f"- **Before the first molecule** of {BOTH} its twist and its surrogate had cost {spent:,.0f} seconds, the "
        f"dockings that both learned from among them. A molecule takes {plain(saved, 2)} seconds less than the best of "
        f"five plain ones, so that {math.ceil(spent / saved)} molecules pay for them."
    ]


def learned_rows(rows: dict[str, Docked], held: dict) -> list[Paying]:
    """What was learned, with the seconds that it took before its first molecule: drawing and docking what was learned
    from, training and forests."""
    learned, trained, forest = held["training"], held["trained"], held.get("surrogate")
    if learned is None or forest is None or not {FAMILY, TWIST} <= trained.keys() or PLAIN not in rows:
        return []
    parts = {
        LEARNED: trained[FAMILY],
        TWISTED: trained[TWIST],
        FORESEEN: forest["cpu_seconds"],
        BOTH: trained[TWIST] + forest["cpu_seconds"],
    }
    drawn = plain_costs("QED", learned["molecules"])["cpu_seconds"]
    before = drawn + learned["docking_cpu_seconds"]
    spent = {name: before + seconds for name, seconds in parts.items() if name in rows}
    return [paying(rows[name], seconds, rows[PLAIN], rows.get(FREE)) for name, seconds in spent.items()]


def forests(entry: dict | None) -> list[str]:
    """What the surrogate took, and how well it foresees a score."""
    if entry is None:
        return []
    return [
        "The surrogate, forests of trees that read molecules (`svlearn.domains.molecules.surrogate`), learned from the "
        f"same dockings in {entry['cpu_seconds']:.0f} seconds. Its correlation with the score of molecules that it did "
        f"not learn from ({entry['folds']} folds), failures included: {entry['pearson']:.2f}.\n"
    ]


def verdict(one: Docked, other: Docked) -> str:
    """Who wins, by how much, and at what share of the cost."""
    medians = " and ".join(f"{np.median(row.rewards):.2f}" for row in (one, other))
    more = one.mean[0] > other.mean[0]
    word = ("beats" if more else "loses to") if apart(one.mean, other.mean) else "is not told apart at 95 % from"
    dockings, seconds = (plain(one.cost(name) / other.cost(name), 2) for name in ("dockings", "cpu_seconds"))
    return (
        f"{word} {other.name}: {with_error(*one.mean)} against {with_error(*other.mean)} kcal/mol, a difference of "
        f"{with_error(*gap(one.mean, other.mean), sign=True)}; medians {medians}. It "
        f"takes {dockings} times the dockings and {seconds} times the seconds."
    )


def table(rows: dict[str, Docked]) -> str:
    header = ["Row", "Molecules", "Mean", "Median", "90 %", "Paper, median / 90 %"]
    header += ["Valid", "Distinct", "Diversity", *COSTS.values()]
    cells = []
    for row in sorted(rows.values(), key=lambda row: row.mean[0]):
        published = PAPER.get(row.name)
        cells.append(
            [row.name, str(len(row.rewards)), with_error(*row.mean), row.median, row.best_decile]
            + ["–" if published is None else " / ".join(f"{each:.2f}" for each in published)]
            + [plain(each, 3) for each in (*row.described(), *(row.cost(name) for name in COSTS))]
        )
    return markdown_table(header, cells)


def training(entry: dict | None, trained: dict[str, float]) -> list[str]:
    """What the value of SVDD-MC took, and what it tells; what that of the twist took."""
    if entry is None:
        return []
    other = f" The contrastive twist's training, on the same, took {trained[TWIST]:,.0f}." if TWIST in trained else ""
    correlations = ", ".join(f"{pearson:.2f} at t = {t}" for t, pearson in entry["pearson"].items())
    return [
        "## What was learned\n",
        f"A GIN, by Monte Carlo regression on {entry['molecules']:,} trajectories of the reference, a tenth of which "
        f"validates. Their molecules took {entry['dockings']:,} dockings, of which {entry['failed']} failed, and "
        f"{entry['docking_cpu_seconds']:,.0f} seconds; training took {trained[FAMILY]:,.0f} "
        f"more. Its correlation with the score of what a trajectory becomes, on the {entry['validating']} that "
        f"validate: {correlations}, of T = 400.{other}\n",
    ]


def figure(held: dict) -> str:
    """Mean score against seconds, a point a row."""
    with style("docking"):
        drawing = Figure(figsize=(6, 4.5))
        axes = drawing.subplots()
        for number, row in enumerate(sorted(rows_of(held).values(), key=lambda row: row.cost("cpu_seconds"))):
            look = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
            points(axes, [row], row.name, linestyle="none", **look)
        axes.set(xscale="log", xlabel="seconds a molecule", ylabel="mean score, kcal/mol")
        return svg(drawing, axes, 2)
