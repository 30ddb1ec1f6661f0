"""The page docs/leaderboards/iterated_twists.md, written from its results."""

from statistics import fmean
from typing import Any

from benchmarks.common.estimates import compared, interval
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.iterated_twists.figures import OF_DATA, OF_ORACLES
from benchmarks.iterated_twists.findings import Runs, gather, log_z_error, r2_under
from benchmarks.iterated_twists.problems import CANDIDATES, DATA, GROUPS, ORACLES, P_REF, P_STAR, PARTICLES, PROBLEMS
from benchmarks.iterated_twists.training import BATCH, DRAWN, FRESH, GROUP, ITERATED, METHODS, ROUNDS, STEPS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Iterated twists, round by round"
HEAD = (
    *("Problem", "Objective", "R² under p\\*", "R² under p_ref", "\\|Δ log Z\\|", "rounds to β = 1"),
    *("network calls", "value calls", "reward calls", "seconds", "seeds"),
)
NOTES = """\
## How it was measured

Three objectives learn the twist v/α with the same networks, which say 0 at first, at the same learning rates, for
{rounds} rounds of {steps} optimiser steps and {drawn:,} trajectories drawn.

- **Iterated twist** (`IteratedTwist`, after TRI-TSMC, arXiv 2605.25123): a round draws all its trajectories at once,
  by SMC with the present twist in groups of {group}, and looks at batches of {batch} of them. Its trust region is the
  default of 0.5 nats; β < 1 says that a round did not aim at p\\* yet. Eight candidates stand for p_ref, all outcomes
  on the token tree and the Markov chain; on the mixture a step looks at two times of twenty, drawn anew.
- **Contrastive twist** (`ContrastiveTwist`, CTL, arXiv 2404.17546): {fresh} fresh trajectories of p_ref a step,
  weighted by exp(r/α). **Positives by SMC**: half of them of p_ref, half of a group of SMC with the present twist.

So the draws and the steps are equal, and the calls are not: an iterated twist looks at each trajectory four times, and
at candidates beside it. The last columns say what a training took.

R² = 1 - Σ_t E[(v_t - exact)²]/Σ_t Var[exact] less a constant c(t), which cancels in every sampler, of x_t under each of
two laws; on the mixture under p_ref it is that of exp(v/α), for v goes down to -80 between the modes. GB1: all states.
Stories: v_1 of all texts of one token. |Δ log Z|: mean error of a group's log Z, nats, over {groups} groups of SMC with
{particles} particles, each of which chooses among {candidates} candidates by the value; even the exact soft value has
one. What diverges leaves the figure. ± is half a 95 % interval of the mean over seeds, by Student's t. Seconds: of the
processor, one thread of a shared machine, the judging apart.

The alphas are lower than those of the [leaderboard of objectives](objectives.md), at which a first round is near p\\*
already.
"""


def page(results: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    measured = {name: found for name in PROBLEMS if (found := gather(results, name, list(METHODS)))}
    if not measured:
        return not_measured(TITLE, "iterated_twists")
    pictures = {
        file: f"R² and the error of log Z by round, {what}"
        for file, known, what in ((OF_ORACLES, ORACLES, "oracles"), (OF_DATA, DATA, "GB1 and stories"))
        if any(name in measured for name in known)
    }
    parts = [opening(TITLE, headline(results, measured), pictures), table(results, measured)]
    absent = [f"{name}, {method}" for name in PROBLEMS for method in METHODS if method not in measured.get(name, {})]
    if absent:
        parts.append(f"Not measured: {'; '.join(absent)}.\n")
    sizes = dict(rounds=ROUNDS, steps=STEPS, drawn=DRAWN, group=GROUP, batch=BATCH, fresh=FRESH)
    notes = NOTES.format(groups=GROUPS, particles=PARTICLES, candidates=CANDIDATES, **sizes)
    return "\n".join([*parts, notes, reproduce("iterated_twists", results)])


def headline(results: dict[str, Any], measured: dict[str, dict[str, Runs]]) -> str:
    """Where iterated twists end better than the better of the contrastive ones, where worse, where neither."""
    errors = sides(measured, lambda own: own.last(log_z_error), lower_is_better=True)
    scores = sides(measured, lambda own: own.last(r2_under(P_STAR)), lower_is_better=False)
    if not any(errors.values()):
        return "**Not yet enough trainings to compare.**"
    return (
        f"**At equal draws and steps, beside the better of two contrastive twists, iterated twists estimate log Z "
        f"{said(results, errors, 'with a smaller error', 'with a larger one')}. In R² under p\\* they are "
        f"{said(results, scores, 'ahead', 'behind')}.** "
        "Told apart: by Welch's test over seeds at 5 %, where there are several."
    )


def sides(measured: dict[str, dict[str, Runs]], last: Any, lower_is_better: bool) -> dict[str, list[str]]:
    """The problems on which iterated twists are better, worse and not told apart, of those with several seeds."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "not": []}
    for name, methods in measured.items():
        others = [last(own) for method, own in methods.items() if method != ITERATED]
        if ITERATED not in methods or not others or any(len(own.held) < 2 for own in methods.values()):
            continue  # of a single seed there is no telling
        rival = (min if lower_is_better else max)(others, key=fmean)
        sign = compared(last(methods[ITERATED]), rival) * (1 if lower_is_better else -1)
        found["better" if sign < 0 else "worse" if sign > 0 else "not"].append(name)
    return found


def said(results: dict[str, Any], found: dict[str, list[str]], better: str, worse: str) -> str:
    def names(part: str) -> str:
        return ", ".join(results["problems"][name]["title"].partition(",")[0] for name in found[part])

    clauses = [f"{word} on {names(part)}" for part, word in (("better", better), ("worse", worse)) if found[part]]
    if found["not"]:
        clauses.append(f"{'and ' if clauses else ''}not told apart on {names('not')}")
    return "; ".join(clauses)


def table(results: dict[str, Any], measured: dict[str, dict[str, Runs]]) -> str:
    rows = []
    for name, methods in measured.items():
        own = results["problems"][name]
        for label, error in (("no twist", own["none"]), ("exact soft value", own["exact"])):
            rows.append([own["title"], label, "–", "–", plain(error, 2), *["–"] * 6])
        for method, runs in methods.items():
            figures = [runs.last(each) for each in (r2_under(P_STAR), r2_under(P_REF), log_z_error)]
            calls = [f"{round(runs.spent(f'{kind}_calls') / 1000):,} k" for kind in ("reference", "value", "reward")]
            rows.append(
                [own["title"], method, *(with_error(*interval(each)) for each in figures), arrival(runs), *calls]
                + [plain(runs.spent("cpu_seconds"), 2), str(len(runs.held))]
            )
    return markdown_table(HEAD, rows, left=2)


def arrival(runs: Runs) -> str:
    """The first round that aimed at p* itself, over seeds; its number, or the least and the largest."""
    if runs.method != ITERATED:
        return "–"
    first = [next((i for i, each in enumerate(run["rounds"]) if each.get("beta") == 1.0), None) for run in runs.held]
    if None in first:
        return f"{sum(each is None for each in first)} of {len(first)} never"
    numbers = sorted({each for each in first if each is not None})
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
