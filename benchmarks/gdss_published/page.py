"""The page of the published rows of GDSS: what their figures are made of, and what of it is a fault."""

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from rdkit import Chem

from benchmarks.common.estimates import NORMAL, Estimate, apart, gap
from benchmarks.common.figures import style, svg
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.rows import FREE, LEARNED, UNDENOISED, Drawn, gather
from benchmarks.gdss_published.network import WIDTH
from benchmarks.gdss_published.training import HELD_OUT, NUM_SAMPLES, NUM_STEPS
from svlearn.domains.molecules import metrics
from svlearn.evaluation.report.figures import COLORS, MARKERS
from svlearn.evaluation.report.numbers import between, with_error
from svlearn.evaluation.summary import reward_figures

TITLE, STUDY = "GDSS: the SVDD paper's row of QED, as published", "gdss_published"
MASKS = ("masks of others", "their own masks")
ROWS = {
    "reward": "the reward of the noisy graph",
    "rewd": "a network of the reward of the noisy graph",
    "ori": "a network of the final reward",
    "PM": "a network of the reward of x̂_0",
}
PLAIN, PAPER = "pretrained", {"80": 0.912, "90": 0.925}
INTRODUCTION = """\
The SVDD paper (arXiv 2408.08252, table 2) gives SVDD-MC on GDSS a QED of 0.912 and 0.925, the 80 % and 90 % quantiles,
and SVDD-PM 0.916 and 0.928. Its authors' code (hyanan16/SVDD-molecule, 455e4d4) does not say which of its ways to
choose the first figure is of, and its sampler has a fault:

1. The configuration that comes with it names no network, and then candidates are chosen by the reward of the noisy
   graph itself: another method than SVDD-MC.
2. A network has one of three trainings: on the reward of the very graph that it is shown, which is the default and no
   look-ahead; on the final reward, which is the paper's; or on the reward of x̂_0, of which it is shown x̂_0 in training
   and x_t at work, which do not look alike.
3. A network reads of an edge only whether its weight is 0. In a noisy graph none is, so it sees every two atoms joined
   and no bond. Nor does it read the time.
4. The sampler gives candidates the node masks of other molecules of the batch: of M candidates of each of B molecules,
   number k has the mask of molecule k mod B, where it should have that of molecule k // M. Atoms stand still for a
   level, or grow from nothing, and what has grown stays. This is the fault; the sampler of SVDD-PM has it too.

Here each way to choose is a row of its own, with the fault and without: QED, M = 10, {molecules} molecules a row.
"""
NOTES = """\
± is one standard error of the molecules, and quantiles have 95 % bootstrap intervals; molecules with the masks of
others are a little less than independent, and no figure holds the chance of training, which was done once. "Atoms" are
those of the finished graph, "asked" those of the mask that it began with. The sampler here is checked against the
authors' own code on a small case (`tests/benchmarks/test_gdss_published.py`): both of a level's moves for every
candidate, the choice after the predictor, Langevin steps by the batch's mean norms.

What differs from the published runs: 200 noise levels in the place of 1000, so a fifth of the choices; batches of 8
molecules in the place of 128, in which every eighth candidate happens to have its own mask; networks {width} wide in
the place of 300, trained for {steps} steps on {samples} plain samples. [The table of GDSS](gdss.md), of svlearn's own
samplers, is of 200 levels as well.

Rows not drawn as yet: {missing}. Not measured here: SA, SVDD-PM by the published sampler, and 1000 levels.
"""


@dataclass(frozen=True)
class Row:
    """The batches of a row with one kind of masks."""

    name: str
    masks: str
    batches: list[dict]

    def all(self, name: str) -> list:
        return [each for batch in self.batches for each in batch[name]]

    @cached_property
    def figures(self) -> dict[str, float]:
        return reward_figures(np.array([self.all("rewards")]), np.random.default_rng(0))

    @property
    def mean(self) -> Estimate:
        return self.figures["mean_reward"], self.figures["mean_reward_standard_error"]

    def quantile(self, level: str) -> str:
        low, high = (self.figures[f"reward_quantile_{level}_{end}"] for end in ("low", "high"))
        return f"{self.figures[f'reward_quantile_{level}']:.3f} ({between(low, high)})"

    def cells(self) -> list[str]:
        molecules = [None if text is None else Chem.MolFromSmiles(text) for text in self.all("smiles")]
        seconds = fmean(batch["cpu_seconds"] for batch in self.batches)
        atoms, asked, valid = (fmean(self.all(name)) for name in ("atoms", "asked", "valid"))
        texts = [ROWS[self.name], self.masks, str(len(self.all("rewards"))), with_error(*self.mean)]
        texts += [self.quantile(level) for level in PAPER]
        return texts + [
            f"{atoms:.1f} ({asked:.1f})",
            f"{valid:.2f}",
            f"{metrics.uniqueness(molecules):.2f}",
            f"{seconds:.1f}",
        ]


def rows_of(held: dict) -> dict[str, dict[str, Row]]:
    """The rows that were drawn, by what they choose by and by masks."""
    rows: dict[str, dict[str, Row]] = {}
    for name in ROWS:
        for masks in MASKS:
            batches = [batch for key, batch in held["batches"].items() if key.startswith(f"{name}/{masks}/")]
            if batches:
                rows.setdefault(name, {})[masks] = Row(name, masks, batches)
    return rows


def page(held: dict, table: dict) -> str:
    """The Markdown of the results, as far as they go, beside rows of the table of GDSS."""
    rows, known = rows_of(held), gather(table).get("QED", {})
    if not rows:
        return not_measured(TITLE, STUDY)
    counts = {len(row.all("rewards")) for own in rows.values() for row in own.values()}
    header = [
        "Chosen by",
        "Masks",
        "Molecules",
        "Mean",
        "80 %",
        "90 %",
        "Atoms (asked)",
        "Valid",
        "Distinct",
        "Seconds",
    ]
    number = " or ".join(map(str, sorted(counts)))
    return "\n".join(
        [
            opening(TITLE, f"**{headline(rows)}**", {f"{STUDY}.svg": "Mean QED of each row, with both kinds of masks"}),
            INTRODUCTION.format(molecules=number),
            "Bars are 95 % intervals of the mean; the lines are rows of the table of GDSS.\n",
            *findings(rows, known),
            "",
            markdown_table(header, [row.cells() for own in rows.values() for row in own.values()], left=2),
            *networks(held["training"]),
            NOTES.format(missing=missing(rows), steps=NUM_STEPS, samples=NUM_SAMPLES, width=WIDTH),
            reproduce(STUDY, held),
        ]
    )


def headline(rows: dict[str, dict[str, Row]]) -> str:
    """How near the published quantile comes, and what the fault of the published sampler does."""
    nearest = nearest_of(rows)
    low, high = (nearest.figures[f"reward_quantile_80_{end}"] for end in ("low", "high"))
    side = "within" if low <= float(PAPER["80"]) <= high else "outside"
    return (
        f"The largest 80 % quantile of QED is that of {ROWS[nearest.name]} with {nearest.masks}, "
        f"{nearest.quantile('80')}; the published {PAPER['80']} lies {side} its 95 % interval."
    )


def nearest_of(rows: dict[str, dict[str, Row]]) -> Row:
    """The row of the largest 80 % quantile."""
    drawn = [row for own in rows.values() for row in own.values()]
    return max(drawn, key=lambda row: row.figures["reward_quantile_80"])


def missing(rows: dict[str, dict[str, Row]]) -> str:
    """What is not drawn as yet, in words."""
    names = [f"{label}, {masks}" for name, label in ROWS.items() for masks in MASKS if masks not in rows.get(name, {})]
    return "; ".join(names) or "none"


def findings(rows: dict[str, dict[str, Row]], known: dict[str, Drawn]) -> list[str]:
    """What the fault does, what each choice does, and how near the published figure comes."""
    lines, both = [], {name: own for name, own in rows.items() if len(own) == len(MASKS)}
    gaps = {name: gap(own[MASKS[0]].mean, own[MASKS[1]].mean) for name, own in both.items()}
    for name, each in gaps.items():
        grown = fmean(both[name][MASKS[0]].all("atoms")) - fmean(both[name][MASKS[1]].all("atoms"))
        lines.append(f"- **The fault, by {ROWS[name]}**: {told(each)} in mean QED, and {grown:+.1f} atoms a molecule.")
    if len(gaps) > 1:
        mean = fmean(each[0] for each in gaps.values()), math.hypot(*(each[1] for each in gaps.values())) / len(gaps)
        lines.append(f"- **The fault, over the {len(gaps)} choices**: {told(mean)} in mean QED.")
    for name, own in rows.items():
        for other in (PLAIN, FREE):
            if MASKS[1] in own and other in known:
                lines.append(
                    f"- **{ROWS[name].capitalize()}, with their own masks**, against {other} of the table "
                    f"({with_error(*known[other].mean)}): {told(gap(own[MASKS[1]].mean, known[other].mean))}."
                )
    nearest = nearest_of(rows)
    lines.append(
        f"- **Against the published {PAPER['80']} and {PAPER['90']}**: the largest quantiles are those of "
        f"{ROWS[nearest.name]} with {nearest.masks}, {nearest.quantile('80')} and {nearest.quantile('90')}."
    )
    others = [
        f"{name} {known[name].figures['reward_quantile_80']:.3f}"
        for name in (LEARNED, UNDENOISED, FREE)
        if name in known
    ]
    if others:
        lines.append(f"- **The same quantile in the table of GDSS**, by svlearn's samplers: {', '.join(others)}.")
    return lines


def told(difference: Estimate) -> str:
    """A difference, and whether it is told from none at 95 %."""
    text = with_error(*difference, sign=True)
    return text if apart(difference, (0.0, 0.0)) else f"{text}, not told from none at 95 %"


def networks(trained: dict[str, dict]) -> list[str]:
    """What the networks foresee of samples that they did not learn from."""
    if not trained:
        return []
    header = ["Training", "Correlation with what it learned", "With the final reward", "Seconds"]
    cells = [
        [ROWS[name], f"{each['own']:.2f}", f"{each['final']:.2f}", f"{each['cpu_seconds']:.0f}"]
        for name, each in trained.items()
    ]
    return [
        "## The networks\n",
        f"Pearson correlations, all levels together, on {HELD_OUT} plain samples that they did not learn from.\n",
        markdown_table(header, cells),
    ]


def figure(held: dict, table: dict) -> str:
    """Mean QED of each row with both kinds of masks, and rows of the table as lines."""
    rows, known = rows_of(held), gather(table).get("QED", {})
    with style(STUDY):
        drawing = Figure(figsize=(8, 3.6))
        axes = drawing.subplots()
        for place, masks in enumerate(MASKS):
            own = [(k, each[masks]) for k, each in enumerate(rows.values()) if masks in each]
            at, means = [k + 0.12 * (2 * place - 1) for k, _ in own], [row.mean for _, row in own]
            look = {"color": COLORS[place], "marker": MARKERS[place], "linestyle": "none", "capsize": 3}
            axes.errorbar(at, [m for m, _ in means], [NORMAL * error for _, error in means], label=masks, **look)
        for place, name in enumerate(name for name in (PLAIN, LEARNED, FREE) if name in known):
            axes.axhline(known[name].mean[0], color=COLORS[place + 2], label=f"{name} of the table", linewidth=1)
        axes.set_xticks(range(len(rows)), [ROWS[name].replace(" of the ", "\nof the ", 1) for name in rows])
        axes.set(ylabel="mean QED")
        return svg(drawing, axes, 3)
