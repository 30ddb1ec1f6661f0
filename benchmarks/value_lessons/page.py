"""docs/leaderboards/value_lessons.md, from the results."""

from typing import Any

from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.value_lessons.findings import WANTED, Row, rows, sentence, untrained
from benchmarks.value_lessons.lessons import BATCH, LESSONS, MEMBERS, PLAIN
from benchmarks.value_lessons.problems import CANDIDATES, PROBLEMS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "What a value learns from the same calls"
HEAD = ["Row", "Mean reward ± s.e.", "Trainings", "Reference calls / sample", "Value calls / sample"]
HEAD += ["Reward calls / sample", "CPU seconds / sample", "Calls of a training", "CPU seconds of a training"]
INTRODUCTION = """
A learned value asks nothing of the reference for a candidate that loses, but its training calls the reference and the
reward. Here each way of learning one gets the same number of these calls, a few hundred trajectories' worth, and as
many steps of the optimiser. Then it chooses among M = {candidates} candidates in SVDD at alpha = 0.

The trainings are short on purpose: seconds on one core. With more of everything rows may change places; the other
[leaderboards](qm9.md) have longer ones. On texts something is chosen at two tokens only, where what is called SVDD-PM
has one roll-out in the place of r(x̂_T).
"""
NOTES = """
## What is what

{what}
Each network has {batch} states in a batch; of a way in two stages each stage has half of the calls and of the steps.
The lower bound's {members} networks each have all steps, and so three times the seconds. ± is one standard error: over
trainings where there are several, else over samples. Seconds are of one core that other work shared, so those of rows
that are near each other are not to be told apart.
"""


def page(held: dict[str, Any]) -> str:
    if not any(key.split("/")[1] == PLAIN for key in held["trained"]):
        return not_measured(TITLE, "value_lessons")
    found = f"**{sentence(held).strip()}** {untrained(held)}"
    head = opening(TITLE, found, {"value_lessons.svg": "Mean reward of each row, with its 95 % interval"})
    told = INTRODUCTION.format(candidates=CANDIDATES)
    sections = [section(name, own) for name in PROBLEMS if (own := rows(held, name))]
    what = "".join(f"- **{name}**: {lesson.what}.\n" for name, lesson in LESSONS.items())
    notes = NOTES.format(what=what, batch=BATCH, members=MEMBERS)
    return f"{head}{told}\n{''.join(sections)}{notes.lstrip()}\n{reproduce('value_lessons', held)}"


def section(name: str, own: list[Row]) -> str:
    problem = PROBLEMS[name]
    reasons: dict[str, list[str]] = {}
    for row, lesson in LESSONS.items():
        if (reason := lesson.absent(name)) is not None:
            reasons.setdefault(reason, []).append(row)
    lines = "".join(f"Does not apply: {', '.join(names)} ({reason}).\n" for reason, names in reasons.items())
    short = {each: WANTED - sum(row.number for row in own if row.name == each) for each in LESSONS}
    short = {each: number for each, number in short.items() if number > 0 and LESSONS[each].absent(name) is None}
    if short:
        lacking = ", ".join(f"{each} {number}" for each, number in short.items())
        lines += f"Trainings of {WANTED} that are not measured yet, so that none of these is compared: {lacking}.\n"
    budget = f"{problem.calls:,} calls of the reference and the reward a training, {problem.steps} steps; "
    told = f"Rewards are {problem.unit}. {budget}{problem.number} samples judge each.\n"
    ranked = sorted(own, key=lambda row: -row.reward[0])
    return f"## {problem.title}\n\n{told}\n{markdown_table(HEAD, [cells(row) for row in ranked])}\n{lines}\n"


def cells(row: Row) -> list[str]:
    figures, trained = row.figures, row.number > 0
    own = [plain(figures[each], 3) for each in ("reference_calls", "value_calls", "reward_calls", "cpu_seconds")]
    spent = [f"{figures['training_calls']:,.0f}", plain(figures["training_cpu_seconds"], 2)] if trained else ["0", "0"]
    return [row.name, with_error(*row.reward), str(row.number) if trained else "–", *own, *spent]
