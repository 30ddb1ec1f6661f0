"""The page docs/leaderboards/rare_digits.md, written from its results."""

import math
from statistics import fmean, stdev

from benchmarks.common.dots import Panel, chart, dot
from benchmarks.common.estimates import Estimate, gap
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.rare_digits.problem import CALLS, DIGIT, INK, NUM_STEPS, PLAIN, WIDTH
from benchmarks.rare_digits.rows import ROWS
from svlearn.evaluation.report.numbers import plain, with_error

NAME = "rare_digits.svg"
TITLE = "A rare event on digits"
HEAD = ("Row", "groups", "log Z", "gap", "std of a group", "ESS", "ancestors", "calls", "gradients", "seconds")
NOTES = """\
## How it was measured

The shipped `digits` in T = {steps} steps of DDPM, without a class: p_ref draws any digit. The event: a public
classifier, drawing from its law, says {digit}, and a threshold of {ink:g} with logistic noise of {width:g} finds less
ink in the image, which is its mean pixel. r = log p({digit} | x_T) + log σ(({ink:g} - ink)/{width:g}) nats, alpha = 1:
Z = E_ref[exp(r)] is the probability of the event, and p* is p_ref given it. Plain samples: log of the mean of exp(r),
which is the best that can be said of so many, ± one standard error.

A row has as many independent groups as {calls:,} calls allow, a gradient counted as two: what {samples:,} plain samples
cost. log Z: the log of the mean over groups of their estimates of Z, ± one standard error by their spread. Gap: to
plain samples, with both errors. Each estimate is unbiased in Z, but of a few groups the mean is low as a rule, and its
error as well, where the spread of log Z from group to group (nats) is more than about 1: rare groups hold most of the
mean. ESS: of the particles of a group at the end; ancestors: how many x_0 they come from. Values are r(x̂_T); "guided"
and TDS move the particles by its gradient as well. Calls, gradients and seconds of the processor (one thread of a
shared machine) are of the whole row.
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    if not held["plain"]:
        return not_measured(TITLE, "rare_digits")
    notes = NOTES.format(steps=NUM_STEPS, digit=DIGIT, ink=INK, width=WIDTH, calls=CALLS, samples=CALLS // NUM_STEPS)
    head = opening(TITLE, headline(held), {NAME: "Each sampler's estimate of log Z, with its 95 % interval"})
    return "\n".join([head, table(held), *absent(held), notes, reproduce("rare_digits", held)])


def figures(held: dict) -> dict[str, str]:
    """SVG by file name: the rows in the order of how far they are from what the plain samples say."""
    if not held["plain"] or not held["rows"]:
        return {}
    truth = of_plain(held)[0]
    estimates = {name: of_row(row) for name, row in held["rows"].items()}
    dots = [dot(name, each) for name, each in estimates.items()]
    dots.sort(key=lambda each: abs(each.at - truth[0]))
    label, line = (
        "log Z, nats; 95 % interval by the spread of groups",
        (truth[0], "plain samples, a hundred times as many"),
    )
    return {NAME: chart("rare_digits", [Panel("At equal calls", label, dots, line=line, ordered=True)])}


def of_plain(held: dict) -> tuple[Estimate, int, float]:
    """log Z of all plain samples, how many they are, and the effective number of those that make it."""
    batches = held["plain"].values()
    number = sum(batch["number"] for batch in batches)
    mean, mean_square = (sum(b["number"] * b[name] for b in batches) / number for name in ("mean", "mean_square"))
    error = math.sqrt((mean_square - mean**2) / (number - 1)) / mean
    return (math.log(mean), error), number, number * mean**2 / mean_square


def of_row(row: dict) -> Estimate:
    """log of the mean of exp(log Z_b) over groups b, and its standard error to first order."""
    logs = row["log_normalizers"]
    top = max(logs)
    estimates = [math.exp(each - top) for each in logs]
    return top + math.log(fmean(estimates)), stdev(estimates) / math.sqrt(len(logs)) / fmean(estimates)


def headline(held: dict) -> str:
    (log_z, error), number, effective = of_plain(held)
    text = (
        f"The event has probability {plain(100 * math.exp(log_z), 3)} %: log Z = {with_error(log_z, error)} by "
        f"{number:,} plain samples, of which {plain(effective, 3)} make the estimate (its effective sample size)."
    )
    estimates = {name: of_row(row) for name, row in held["rows"].items()}
    if not estimates:
        return f"**{text}**"
    away = [
        name
        for name, each in estimates.items()
        if abs((difference := gap(each, (log_z, error)))[0]) > 2 * difference[1]
    ]
    near = {name: each for name, each in estimates.items() if name not in away}
    said = (
        f"told apart from the plain samples at two standard errors are {', '.join(away)}"
        if away
        else "none is told apart"
    )
    best = "no sampler finds it"
    if near:
        closest = min(near, key=lambda name: near[name][1])
        best = f"{closest} says it best of those that find it, {with_error(*near[closest])}"
    return f"**For {CALLS:,} calls {best}; {said}.** {text}"


def absent(held: dict) -> list[str]:
    """What is still to be measured."""
    _, number, _ = of_plain(held)
    missing = [name for name in ROWS if name not in held["rows"]]
    missing += [] if number >= PLAIN else [f"{PLAIN - number:,} of {PLAIN:,} plain samples"]
    return [f"Not measured: {'; '.join(missing)}.\n"] if missing else []


def table(held: dict) -> str:
    truth, number, _ = of_plain(held)
    seconds = sum(batch["cpu_seconds"] for batch in held["plain"].values())
    steps = next(iter(held["plain"].values()))["calls"]
    lines = [
        [f"*plain samples, {number:,}*", "–", with_error(*truth), "–", "–", "–", "–", f"{round(steps * number):,}", "0"]
        + [plain(seconds, 3)]
    ]
    for name, row in held["rows"].items():
        estimate, logs = of_row(row), row["log_normalizers"]
        ess, ancestors = (
            f"{plain(row[each], 2)} of {row['particles']}" if row["particles"] > 1 else "–"
            for each in ("ess", "ancestors")
        )
        spread, calls = plain(stdev(logs), 2), row["calls"]
        lines.append(
            [name, str(len(logs)), with_error(*estimate), with_error(*gap(estimate, truth), sign=True), spread, ess]
            + [ancestors, f"{calls['reference_calls']:,}", f"{calls['gradient_calls']:,}", plain(row["cpu_seconds"], 3)]
        )
    return markdown_table(HEAD, lines)
