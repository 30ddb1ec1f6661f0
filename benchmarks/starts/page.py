"""The page docs/leaderboards/starts.md, written from its results."""

from typing import Any

from benchmarks.common.estimates import apart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.starts.figures import NAME
from benchmarks.starts.problems import PROBLEMS, STEPS, Digits, Mixture
from benchmarks.starts.rows import BY_GRADIENT, BY_NOISE, CALLS, LEVELS, MOVES, PLAIN, ROWS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Starts that know the reward"
HEAD = ("Row", "K or M", "effective starts", "x_0 left", "std of log Z", "mean Ẑ/Z", "accepted", "calls", "gradients")
NOTES = """\
## How it was measured

`CrankNicolson` starts (after Ψ-sampler, arXiv 2506.01320) with {levels} levels of {moves} moves, along the gradient of
v_0 or by noise alone, in SMC and SVDD with the value r(x̂_T), against draws of p_0. A group has {calls} calls of the
network, a gradient counted as two: what the starts take, there are fewer particles, or candidates, for.

- **The mixture**: x_0 ~ N(0, 1), then {steps} Gaussian steps of little noise, in {dim} dimensions; p\\* is a mixture
  of two modes in closed form, and so is Z.
- **Digits**: the shipped `digits` by DDIM in {steps} steps with η = {eta:g}, which is not told a class; r = log
  p(class | x_T), nats, by a classifier, at α = 1. Z of a class is its probability under p_ref, so that its mean over
  the ten classes is 1/10, exactly.

Effective starts: the effective sample size of the x_0 of a group, of K particles or M candidates, before a step is
made. x_0 left: how many of them the finished particles come from. Std of log Z: from group to group, on digits inside a
class, nats, with its jackknife error. Mean Ẑ/Z: over the groups, on digits Ẑ over 1/10; 1 within its error says that
E[Ẑ] = Z; where log Z spreads by more than about 1 the mean of few groups is low as a rule. Accepted: the moves of the
first and of the last level. Calls and gradients of the network: of a group. ± is one standard error, in the figure
1.96 to each side.
"""


def page(results: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    measured = [name for name in PROBLEMS if set(results[name]) == set(ROWS)]
    if not measured:
        return not_measured(TITLE, "starts")
    found = " ".join(headline(name, results[name]) for name in measured)
    parts = [opening(TITLE, found, {NAME: "Effective starts and the spread of log Z"})]
    for name in measured:
        parts += [f"## {PROBLEMS[name].title[:1].upper()}{PROBLEMS[name].title[1:]}\n", table(results[name])]
    absent = [name for name in PROBLEMS if name not in measured]
    if absent:
        parts.append(f"Not measured: {', '.join(absent)}.\n")
    settings = dict(levels=LEVELS, moves=MOVES, calls=CALLS, steps=STEPS, dim=Mixture.DIM, eta=Digits.ETA)
    return "\n".join([*parts, NOTES.format(**settings), reproduce("starts", results)])


def headline(name: str, held: dict[str, Any]) -> str:
    """What the starts do to how many x_0 are effective, and to the spread of log Z, sampler by sampler."""
    clauses = []
    for sampler in ("SMC", "SVDD"):
        before = held[f"{sampler}, {PLAIN}"]
        for start, label in ((BY_NOISE, "by noise alone"), (BY_GRADIENT, "along the gradient")):
            own = held[f"{sampler}, {start}"]
            times = own["effective_starts"][0] / before["effective_starts"][0]
            clauses.append(
                f"{sampler}, {label}: {plain(times, 2)} times as many effective starts, and a spread of log Z "
                f"{compared(own['spread'], before['spread'])}"
            )
    return f"**{PROBLEMS[name].title.capitalize()}, at equal network calls.** {'; '.join(clauses)}."


def compared(own: tuple[float, float], before: tuple[float, float]) -> str:
    if not apart(own, before):
        return f"not told apart from that of plain starts ({with_error(*own)} and {with_error(*before)} nats)"
    return f"{'smaller' if own[0] < before[0] else 'larger'} ({with_error(*own)} after {with_error(*before)} nats)"


def table(held: dict[str, Any]) -> str:
    rows = []
    for name in ROWS:
        own = held[name]
        accepted = "–" if own["acceptance"] is None else " to ".join(f"{own['acceptance'][k]:.0%}" for k in (0, -1))
        left = "–" if name.startswith("SVDD") else with_error(*own["ancestors"])
        figures = [with_error(*own["effective_starts"]), left, with_error(*own["spread"]), with_error(*own["ratio"])]
        rows.append([name, str(own["size"]), *figures, accepted, plain(own["calls"]), plain(own["gradients"])])
    return markdown_table(HEAD, rows)
