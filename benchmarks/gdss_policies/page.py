"""The page of the policies of GDSS, written from their results."""

import math
from functools import cached_property
from statistics import correlation, fmean, stdev

from benchmarks.common.dots import FREE as TRAINING_FREE
from benchmarks.common.dots import LEARNED, OTHER, Panel, chart, dot
from benchmarks.common.estimates import apart, gap
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.gdss.rows import Drawn, difference
from svlearn.evaluation.report.numbers import plain, with_error

PLAIN, FREE, ALPHA, WANTED = "unguided", "SVDD-PM, M = 5", 0.01, 96
FAMILIES = {"adjoint matching": "adjoint_matching", "path consistency": "path_consistency_policy"}
COSTS = {
    "reference_calls": "Reference calls",
    "policy_calls": "Policy calls",
    "gradient_calls": "Gradient calls",
    "reward_calls": "Reward calls",
    "cpu_seconds": "Seconds",
}

TITLE, NAME = "GDSS: policies", "gdss_policies.svg"
INTRODUCTION = """\
Fine-tuned policies of the authors' checkpoint of GDSS for ZINC-250k, beside the same process unguided and beside
SVDD-PM on it. The process is **the predictor alone at 25 steps**, for adjoint matching wants steps whose noise does not
depend on the state, which the corrector's does: its plain molecules are worse than those of
[table 2](gdss.md), whose process is corrected and has 400 steps. Compare the rows with each other, not with those.
The reward is QED of the repaired molecule's largest piece; alpha = {alpha}. {wanted} molecules a row; with fewer as
yet: {short}.
"""
METHODS = """\
## The policies

Both move the mean of each step by s² g, and g reads what the reference predicts anyway: x̂_T and the score. They keep
the reference's law of x_0. What trains them stands in `configs/molecules/gdss/policies`.

| Name | What it is |
| --- | --- |
| adjoint matching | g = γ(t) ∇r_θ(x̂_T) + γ'(t) score + a GIN's word on nodes and edges; its reward is r_θ, not QED |
| path consistency | g = γ(t) ∇r_θ(x̂_T), eight numbers, by log-variance; its reward is QED itself, a black box |
| SVDD-PM, M = 5 | nothing trained: five candidates a step, the best by QED of x̂_T is kept; alpha = 0 |
"""
NOTES = """\
± is one standard error of the molecules and quantiles have 95 % bootstrap intervals; neither holds the chance of
training, which was done once. Valid and one piece are shares before repair. Distinct is the share of distinct molecules
after it, diversity the mean Tanimoto distance of pairs. r_θ is the mean of what the reward network says of the finished
molecules: a policy may raise it without raising QED. KL is that of paths, KL(q || p_ref), the mean of log q/p_ref over
the row's own trajectories. A policy call is one of its own small networks, on what a reference call says; its gradient
calls are those of the reward network that it reads. Seconds are those of the processor for a molecule, of one thread
and of the worker that scores, without those of training.
"""


class Steered(Drawn):
    """A row, with what it paid for its reward."""

    @cached_property
    def predicted(self) -> float:
        return fmean(each for batch in self.batches for each in batch["predicted"])

    @cached_property
    def correlation(self) -> float:
        """Pearson's, of what the reward network says with QED."""
        return correlation([each for batch in self.batches for each in batch["predicted"]], self.rewards.tolist())

    @cached_property
    def divergence(self) -> tuple[float, float] | None:
        """KL(q || p_ref) of paths and its standard error, nats; None where nothing is known of it."""
        if self.name == PLAIN:
            return 0.0, 0.0
        paths = [each for batch in self.batches for each in batch.get("log_ratios", [])]
        return (fmean(paths), stdev(paths) / len(paths) ** 0.5) if paths else None

    @property
    def elbo(self) -> tuple[float, float]:
        """E[r/α] - KL and its standard error, nats, of a row whose KL is known."""
        paths = [each for batch in self.batches for each in batch.get("log_ratios", [0.0] * len(batch["rewards"]))]
        terms = [reward / ALPHA - path for reward, path in zip(self.rewards.tolist(), paths, strict=True)]
        return fmean(terms), stdev(terms) / len(terms) ** 0.5


def gather(held: dict) -> dict[str, Steered]:
    batches: dict[str, list[dict]] = {}
    for key, batch in held["batches"].items():
        batches.setdefault(key.split("/")[0], []).append(batch)
    return {name: Steered("QED", name, batches[name]) for name in (PLAIN, *FAMILIES, FREE) if name in batches}


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    rows = gather(held)
    if PLAIN not in rows:
        return not_measured(TITLE, "gdss_policies")
    short = [f"{row.name} ({len(row.rewards)})" for row in rows.values() if len(row.rewards) < WANTED]
    absent = [f"{name} (0)" for name in (*FAMILIES, FREE) if name not in rows]
    return "\n".join(
        [
            opening(TITLE, headline(rows), {NAME: "Mean QED of each row, with its 95 % interval"}),
            INTRODUCTION.format(alpha=ALPHA, wanted=WANTED, short="; ".join(short + absent) or "none"),
            "## What came out\n",
            *findings(rows),
            *against_search(rows, held["training"]),
            "",
            table(rows),
            METHODS,
            "## What was learned\n",
            *training(held, rows[PLAIN]),
            "",
            NOTES,
            reproduce("gdss_policies", held),
        ]
    )


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    rows = gather(held)
    kinds = {PLAIN: OTHER, FREE: TRAINING_FREE}
    dots = [dot(name, row.mean, kinds.get(name, LEARNED)) for name, row in rows.items()]
    if PLAIN not in rows:
        return {}
    line = rows[PLAIN].mean[0], PLAIN
    return {
        NAME: chart("gdss_policies", [Panel("Predictor alone, 25 steps", "mean QED, 95 % interval", dots, line=line)])
    }


def headline(rows: dict[str, Steered]) -> str:
    """The best row, and whether it is told apart from the process unguided and from the others."""
    best = max(rows, key=lambda name: rows[name].mean[0])
    told: dict[str, list[str]] = {"above": [], "not told apart from": []}
    for name, row in rows.items():
        if name != best:
            words = "above" if apart(rows[best].mean, row.mean) else "not told apart from"
            told[words].append(f"{name} ({with_error(*row.mean)})")
    said = [f"{words} {', '.join(names)}" for words, names in told.items() if names]
    return f"**The largest mean QED is that of {best}, {with_error(*rows[best].mean)}: at 95 % {'; '.join(said)}.**"


def findings(rows: dict[str, Steered]) -> list[str]:
    """Each against the process unguided; for a policy, whether its reward was worth its KL at this alpha."""
    plain_row, lines = rows[PLAIN], []
    for name, row in rows.items():
        if name == PLAIN:
            continue
        sentence = f"- **{name}**: {with_error(*row.mean)}, unguided {with_error(*plain_row.mean)}"
        sentence += f"; {difference(row, plain_row)}"
        if row.divergence is not None:
            gained = with_error(*gap(row.elbo, plain_row.elbo), sign=True)
            sentence += f", at a KL of {with_error(*row.divergence)} nats; the ELBO E[r/alpha] - KL changes by "
            sentence += f"{gained} nats, and r_θ by {row.predicted - plain_row.predicted:+.2f}"
        lines.append(f"{sentence}.")
    return lines


def against_search(rows: dict[str, Steered], trained: dict) -> list[str]:
    """Each policy against SVDD-PM: how far apart, at which share of its seconds, and when the training is paid for."""
    lines = []
    for name, family in FAMILIES.items():
        if FREE in rows and name in rows and {family, "reward_network"} <= trained.keys():
            own, free = (rows[each].cost("cpu_seconds") for each in (name, FREE))
            spent = trained[family]["cpu_seconds"] + trained["reward_network"]["cpu_seconds"]
            paid = ""
            if rows[name].mean[0] > rows[FREE].mean[0]:
                paid = (
                    f", {math.ceil(spent / (free - own)):,} molecules pay for it" if own < free else ", never paid for"
                )
            lines.append(
                f"- **{name} against {FREE}**: {difference(rows[name], rows[FREE])}, at {plain(own / free, 2)} times "
                f"its seconds a molecule; training took {spent:,.0f} seconds with that of r_θ{paid}."
            )
    return lines


def table(rows: dict[str, Steered]) -> str:
    header = ["Row", "Molecules", "Mean QED", "80 %", "90 %", "r_θ", "KL, nats"]
    header += ["Valid", "One piece", "Distinct", "Diversity", *COSTS.values()]
    cells = []
    for row in rows.values():
        paid = "–" if row.divergence is None else with_error(*row.divergence)
        cells.append(
            [row.name, str(len(row.rewards)), with_error(*row.mean), row.quantile(80), row.quantile(90)]
            + [f"{row.predicted:.3f}", paid]
            + [plain(each, 3) for each in row.molecules.values()]
            + [plain(row.cost(name), 3) for name in COSTS]
        )
    return markdown_table(header, cells)


def training(held: dict, unguided: Steered) -> list[str]:
    """What each training took, how well the reward network tells QED, and what x_0 tells of x_T."""
    entries, lines = held["training"], []
    if "reward_network" in entries:
        own = entries["reward_network"]
        counts, unseen = own["molecules"], own["held_out"]
        lines.append(
            f"- The reward network r_θ, a GIN: {plain(own['cpu_seconds'], 3)} seconds, on "
            f"{counts['of the process']:,} finished molecules of the process at 50 steps and "
            f"{counts['of ZINC-250k']:,} of ZINC-250k. Its correlation with QED on unseen ones is {own['pearson']:.2f} "
            f"({unseen['of the process']:,} of the process at 50 steps), {own['pearson_on_zinc250k']:.2f} "
            f"({unseen['of ZINC-250k']:,} of ZINC-250k) and {unguided.correlation:.2f} "
            f"({len(unguided.rewards):,} of the row {PLAIN!r})."
        )
    for name, family in FAMILIES.items():
        if family in entries:
            cost = entries[family]
            lines.append(
                f"- {name[0].upper()}{name[1:]}: {plain(cost['cpu_seconds'], 3)} seconds, {cost['steps']} steps of "
                f"{cost['batch_size']} trajectories, once."
            )
    if "memory" in held:
        memory = held["memory"]
        lines.append(
            f"- The process is not memoryless: x_0 explains {100 * memory['explained']:.0f} % of the variance of x_T, "
            f"I(x_0; x_T) is about {plain(memory['information'], 2)} nats by a Gaussian estimate. A policy keeps the "
            "law of x_0, so the best of them stays short of p*, and `fit` warns of it."
        )
    return lines
