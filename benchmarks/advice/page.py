"""The page docs/leaderboards/advice.md, written from the results of this study and of those that it is held against."""

from collections.abc import Sequence
from typing import Any

from benchmarks.advice.figures import BY_BUDGET
from benchmarks.advice.findings import Verdict, at_a_tenth, verdicts
from benchmarks.advice.problems import FOR_SAMPLES, PROBLEMS
from benchmarks.advice.special import SECONDS
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from svlearn.evaluation.report.numbers import between, plain, with_error

TITLE = "Advice against exhaustive search"
SEARCHED = {
    "gb1": "a grid of this study: best-of-N, and SVDD by four kinds of values with 2 to 32 candidates",
    "mrl": "[the rows of sequences](sequences.md)",
    "qm9": "[the rows of QM9 at alpha = 0](qm9_inference.md)",
    "stories": "[the rows of the sentiment](stories_budget.md)",
    "digits": "[the rows of digits at alpha = 1](digits.md)",
}
SPECIAL = {
    "hash": ("A hash of the state", "on a linear-Gaussian chain; nothing can foresee it."),
    "smooth": (
        "A cheap and smooth reward",
        "on the same chain: linear in its last state, alpha = 0.5; nothing is trained.",
    ),
    "dear": (
        f"A reward of {SECONDS:.0f} seconds a call",
        f"the same at alpha = 0, each call at {SECONDS:.0f} seconds of the budget by `prices`; nobody waited for them.",
    ),
    "demo": ("The demo", "QED on QM9 at alpha = 0, with the shipped value at hand."),
}
ROWS = ("Sampler", "Mean reward", "Price", "Training", "Gain over best-of-N", "90 % interval", "Samples")
HOW = """\
## How it was measured

An advice has a budget of calls and not of seconds, so that the same seed gives the same advice on any machine: a call
of the reference, of its gradient and of the reward is one each, and one of a value's own network none. It is for
{number} samples. What a sample may cost (`per_sample`) is the price class of the leaderboard; the search is all rows
within it, with their samples and the trajectories that their values learned from. What the policies of some rows drew
in training is not known, and counts as nothing. The best row is the best of many on the samples that it was picked by,
which flatters the search. Advised samplers are judged on samples of their own ({judged}); the error of their mean is
the larger of what the seeds differ by and what the samples tell, of one seed the latter alone. "Within the noise": not
apart by 1.96 standard errors of the difference.

The values that rows of a leaderboard learn are trained longer than an advice trains one, and on more trajectories. On
stories and digits an advice trains none: their states are not one tensor, and none was handed over. On stories it has
the leaderboard's two samplers by roll-outs at hand. Docking is not measured: an advice of the least use would dock some
hundred molecules, at seconds each, beside 400 calls of GDSS for every one of them.
"""


def page(results: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    found = verdicts(results)
    if not found:
        return not_measured(TITLE, "advice")
    parts = [opening(TITLE, f"**{headline(found)}**", {BY_BUDGET.name: "Rewards by the calls of an advice"})]
    parts += [*missing(results), "## What the search has\n", searches(found)]
    for own in found.values():
        parts += [f"## {own[0].problem.title}\n", table(own)]
    parts += [special(name, results["special"][name]) for name in SPECIAL if name in results["special"]]
    numbers = ", ".join(f"{PROBLEMS[name].number:,} on {name}" for name in found)
    how = HOW.format(number=f"{FOR_SAMPLES:,}", judged=numbers)
    foot = reproduce("advice", results, "The searches are results of the pages named above.")
    return "\n".join([*parts, how, *versions(results), foot])


def headline(found: dict[str, list[Verdict]]) -> str:
    """What the largest budget of at most a tenth of the search gives on each problem."""
    names: dict[str, list[str]] = {"above": [], "within the noise": [], "below": []}
    dearer = []
    for own in found.values():
        title, chosen = own[0].problem.title, at_a_tenth(own)
        if chosen is None:
            dearer.append(f"{title} (at {own[0].share:.0%}, {own[0].word})")
        else:
            seeds = "1 seed" if len(chosen.runs) == 1 else f"{len(chosen.runs)} seeds"
            names[chosen.word].append(f"{title} ({with_error(*chosen.gap, sign=True)}, {seeds})")
    said = {"above": "above it on", "within the noise": "within its noise on", "below": "below it on"}
    parts = [f"{said[word]} {' and '.join(own)}" for word, own in names.items() if own]
    text = (
        "By at most a tenth of the calls of the search, and held against its best row, advised samplers are "
        f"{'; '.join(parts)}."
    )
    return (text if parts else "") + (f" No budget was as small on {' and '.join(dearer)}." if dearer else "")


def missing(results: dict[str, Any]) -> list[str]:
    """What of the plan is not measured, in a sentence; nothing where all of it is."""
    absent = []
    for name, problem in PROBLEMS.items():
        for budget in problem.budgets:
            seeds = [seed for seed in problem.seeds if f"{name}/{budget}/{seed}" not in results["advised"]]
            if seeds:
                absent.append(f"{name} at {budget:,} calls, {len(seeds)} of {len(problem.seeds)} seeds")
    return [f"Not measured: {'; '.join(absent)}.\n"] if absent else []


def versions(results: dict[str, Any]) -> list[str]:
    """Which commits the advices are by, in a sentence, where they are by several."""
    runs = [*results["advised"].values(), *results["special"].values()]
    commits = sorted({run["provenance"]["git_commit"][:7] for run in runs})
    listed = ", ".join(f"`{each}`" for each in commits)
    return [f"The advices are by commits {listed}, between which what it tries has grown.\n"] * (len(commits) > 1)


def searches(found: dict[str, list[Verdict]]) -> str:
    rows = []
    for name, own in found.items():
        search, best = own[0].search, own[0].search.best
        rows.append(
            [
                own[0].problem.title,
                SEARCHED[name],
                str(len(search.rows)),
                f"{search.calls:,.0f}",
                f"{own[0].problem.per_sample:,.0f}",
                best.name,
                "trained" if best.trained else "training-free",
                with_error(best.reward, best.error),
                f"{best.price:,.0f}",
            ]
        )
    header = (
        "Problem",
        "Search",
        "Rows",
        "Calls",
        "A sample may cost",
        "Best row",
        "needs",
        "Mean reward",
        "Its calls",
    )
    return markdown_table(header, rows, left=2)


def table(own: Sequence[Verdict]) -> str:
    rows = []
    for each in own:
        names = "; ".join(f"{name} ({number})" for name, number in each.recommended)
        rows.append(
            [
                f"{each.budget:,}",
                f"{each.spent:,.0f}",
                f"{each.share:.1%}",
                with_error(*each.reward),
                ", ".join(plain(reward, 3) for reward in each.rewards),
                f"{with_error(*each.gap, sign=True)}, {each.word}",
                f"{each.price:,.0f}",
                names,
            ]
        )
    header = ["Budget", "Calls spent", "of the search", "Advised", "by seed", "less the best row", "Calls a sample"]
    return markdown_table([*header, "Recommended (how often)"], rows, left=0)


def special(name: str, advice: dict[str, Any]) -> str:
    """The advice in its own words, and its final rows."""
    title, what = SPECIAL[name]
    final = [row for row in advice["front"] if row["stage"] == "final"]
    skipped = [f"- Not raced: {each}, {reason}." for each, reason in advice["skipped"].items()]
    budget = f"Budget: {advice['budget']}, for {advice['for_samples']:,} samples."
    text = "\n".join([f"> {advice['text']}", *([""] + skipped if skipped else [])])
    rows = [_row(row) for row in final]
    return f"## {title}\n\n{what[0].upper()}{what[1:]} {budget}\n\n{text}\n\n{markdown_table(ROWS, rows)}"


def _row(row: dict[str, Any]) -> list[str]:
    ends = row["gain_low"], row["gain_high"]
    known = None not in ends
    return [
        f"{row['sampler']}",
        with_error(row["reward"], row["standard_error"]),
        plain(row["price"], 3),
        plain(row["training_price"], 3),
        f"{row['gain']:+.3g}" if known else "–",
        between(*(float(each) for each in ends)) if known else "–",
        plain(row["num_samples"]),
    ]
