"""The page docs/leaderboards/inpainting.md, written from its results."""

from benchmarks.common.dots import FREE, OTHER, Dot, Panel, chart
from benchmarks.common.pages import not_measured, opening, reproduce
from svlearn.evaluation.report.numbers import plain

NAME = "inpainting.svg"
TITLE = "Inpainting whose posterior is exact"
NOTES = """\

The prior is Σ_k N(m_k, 0.2² I)/20 on images of 8 x 8, its means two real digits of each class; the network is the
exact E[ε | x_t] of it, run by diffusers' DDPM in 100 steps through `DiffusersReference`. Seen is the left half, with
noise of std 0.4; r = log N(y; A x, σ²) and alpha = 1, so p* is the posterior, itself a mixture. {number:,} samples a
row, one of each group. Mean: root mean squared error over the pixels. Covariance: Frobenius norm of the error by that
of the exact one. Components: total variation of the shares of the 20 digits that samples belong to; the posterior
holds {components:.1f} of them (one over the sum of squares). Exact draws: the same figures of as many draws of the
posterior, ten times, ± their standard deviation: nothing can be told to be below it. log Z is exactly {exact:.2f}. That
is of the prior; DDPM's steps only tend to it as their number grows, so a part of every row's errors, and of its log Z,
is of the 100 steps and not of the method.
Seconds: of the processor, one thread of a shared machine.
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    if not held["rows"] or not held["floor"]:
        return not_measured(TITLE, "inpainting")
    floor = held["floor"]["exact draws"]
    head = ("Row", "mean", "covariance", "components", "log Z", "calls", "gradients", "seconds")
    lines = [f"| {' | '.join(head)} |", f"| --- {'| --: ' * (len(head) - 1)}|"]
    names = ("mean", "covariance", "components")
    exact = [f"{plain(floor[name][0], 2)} ± {plain(floor[name][1], 1)}" for name in names]
    lines.append(f"| {' | '.join(['*exact draws*', *exact, plain(floor['log_normalizer'], 4), '–', '–', '–'])} |")
    for name, row in held["rows"].items():
        figures = [plain(row[each], 2) for each in names]
        log_z = "–" if row["log_normalizer"] is None else plain(row["log_normalizer"], 4)
        spent = [plain(row["per_sample"][each], 3) for each in ("reference_calls", "gradient_calls", "cpu_seconds")]
        lines.append(f"| {' | '.join([name, *figures, log_z, *spent])} |")
    notes = NOTES.format(
        number=floor["number"], components=floor["components_of_posterior"], exact=floor["log_normalizer"]
    )
    head = opening(TITLE, headline(held), {NAME: "Error of each row's covariance, beside that of exact draws"})
    return "\n".join([head, *lines, notes, reproduce("inpainting", held)])


def figures(held: dict) -> dict[str, str]:
    """SVG by file name."""
    if not held["rows"] or not held["floor"]:
        return {}
    found = {name: row["covariance"] for name, row in held["rows"].items()}
    dots = [Dot(name, each, each, each, OTHER if name == "prior" else FREE) for name, each in found.items()]
    floor = held["floor"]["exact draws"]["covariance"][0], "as many exact draws"
    panel = Panel("Left half seen", "relative error of the covariance", dots, best="low", line=floor, logarithmic=True)
    return {NAME: chart("inpainting", [panel])}


def headline(held: dict) -> str:
    """Which rows come near the posterior, by both moments, and which do not."""
    floor, rows = held["floor"]["exact draws"], held["rows"]
    order = sorted(rows, key=lambda name: rows[name]["covariance"])
    best, worst = order[0], order[-1]
    near = rows[best]["covariance"] / floor["covariance"][0]
    text = (
        f"**The nearest to the posterior is {best}: the error of its covariance is {plain(near, 2)} times that of as "
        f"many exact draws; the farthest is {worst}, {plain(rows[worst]['covariance'] / floor['covariance'][0], 2)} "
        "times.**"
    )
    pair = [name for name in ("DPS", "SVDD-PM, M = 10") if name in rows and name not in (best, worst)]
    if pair:
        times = {name: plain(rows[name]["covariance"] / floor["covariance"][0], 2) for name in pair}
        text += f" Between them: {', '.join(f'{name} {each} times' for name, each in times.items())}."
    return text
