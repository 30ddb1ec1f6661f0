"""The page docs/leaderboards/stories_tasks.md, written from its results."""

from collections import defaultdict
from statistics import fmean, stdev

from benchmarks.common.dots import LEARNED, OTHER, Dot, Panel, chart
from benchmarks.common.estimates import compared, interval
from benchmarks.common.pages import not_measured, opening, reproduce
from benchmarks.stories.texts import PROMPT
from benchmarks.stories_tasks import methods
from benchmarks.stories_tasks.tasks import PLAIN, TASKS, TOKENS
from svlearn.evaluation.report.numbers import plain

NAME, BARE = "stories_tasks.svg", "the reference"
TITLE = "Twists and policies of a language model, both ways from the posterior"
NOTES = """\
{tokens} new tokens of stories260k after "{prompt}". log Z: by {plain:,} plain texts. KL(q ‖ p*) = log Z - E_q[log w] of
the method's proposal alone, one particle and no resampling; KL(p* ‖ q) = E_p*[log w] - log Z over texts of p*, by
rejection, or of infilling by weights of the plain texts, worth as many as is said there. Gap: between the bounds on
log Z by 16 particles, which is at least the sum of both divergences of what SMC then draws. ± is the standard deviation
over the trainings (their number stands in the last column but one), and where there is one training the standard error.
Twists are heads on the model's last hidden state for all next tokens, policies adapters of rank {rank}; each is trained
for {steps} steps of {batch} texts. PPO maximises E_q[r] - KL(q ‖ p_ref), which is -KL(q ‖ p*) up to log Z. Seconds: of
the processor, one thread of a shared machine. The paper (arXiv 2404.17546) has other models and rewards: its
KL(q ‖ p*) / KL(p* ‖ q) of the contrastive twist are 1.11 / 1.07 on toxicity, 0.55 / 0.47 on sentiment, 23.9 / 8.9 on
infilling, where the distributional policy gradient has 13.3 / 4.9.
"""


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    measured = {task: own for task, own in held.items() if "truth" in own and len(own) > 2}
    if not measured:
        return not_measured(TITLE, "stories_tasks")
    parts = [opening(TITLE, headline(measured), {NAME: "Both divergences from the posterior, by method and task"})]
    for task, own in measured.items():
        estimate, error = own["truth"]["log_normalizer"]
        of = f"{own['truth']['texts']} texts of p*"
        if not TASKS[task].exact:
            of += f" worth {plain(own['truth']['effective'], 3)} independent ones"
        parts.append(f"## {task.capitalize()}\n")
        parts.append(f"{TASKS[task].what}; log Z = {plain(estimate, 4)} ± {plain(error, 1)}; {of}.\n")
        parts += [*table(own), ""]
    notes = NOTES.format(
        tokens=TOKENS, prompt=PROMPT, plain=PLAIN, rank=methods.RANK, steps=methods.STEPS, batch=methods.BATCH
    )
    return "\n".join([*parts, notes, reproduce("stories_tasks", held)])


def figures(held: dict) -> dict[str, str]:
    """SVG by file name: a panel a task."""
    panels = []
    for task, own in held.items():
        if "truth" in own and len(own) > 2:
            dots = []
            for name, each in both_ways(own).items():
                mean, width = interval(each)
                dots.append(Dot(name, mean, mean - width, mean + width, OTHER if name == BARE else LEARNED))
            label = "KL(q ‖ p*) + KL(p* ‖ q), nats; 95 % interval"
            start = next(each.at for each in dots if each.name == BARE)
            line = start, "the reference"
            panels.append(Panel(task.capitalize(), label, dots, best="low", line=line, logarithmic=True))
    return {NAME: chart("stories_tasks", panels)} if panels else {}


def both_ways(own: dict) -> dict[str, list[float]]:
    """The sum of both divergences of each training, by method: log Z falls out of it."""
    found = defaultdict(list)
    for name, entry in own.items():
        if name != "truth":
            one = entry["bounds"]["1"]
            found[name.rpartition(", ")[0]].append(one["upper"] - one["lower"])
    return dict(found)


def headline(held: dict) -> str:
    """Which method is nearest both ways, by task, and what is not told apart from it."""
    sentences = []
    for task, own in held.items():
        figures = rows(own)
        nearest = min((name for name in figures if name != "the reference"), key=lambda name: _total(figures[name]))
        before, after = (_total(figures[name]) for name in ("the reference", nearest))
        trained = {name: each for name, each in both_ways(own).items() if name not in (nearest, BARE)}
        alike = [name for name, each in trained.items() if not compared(both_ways(own)[nearest], each)]
        said = f" (not told apart: {', '.join(alike)})" if alike else " (told apart from all others)"
        sentences.append(f"{task}: {nearest}{said}, {plain(after, 2)} nats both ways, of {plain(before, 2)} at first")
    return f"**The nearest to the posterior. {'; '.join(sentences)}.**"


def rows(own: dict) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each method the figures over its trainings, and their spread."""
    estimate = own["truth"]["log_normalizer"][0]
    groups = defaultdict(list)
    for name, entry in own.items():
        if name != "truth":
            groups[name.rpartition(", ")[0]].append(entry)
    found = {}
    for name, entries in groups.items():
        one, many = ([entry["bounds"][number] for entry in entries] for number in ("1", "16"))
        found[name] = {
            "q_from_target": _spread([estimate - each["lower"] for each in one], one[0]["lower_error"]),
            "target_from_q": _spread([each["upper"] - estimate for each in one], one[0]["upper_error"]),
            "gap": _spread([each["upper"] - each["lower"] for each in many], many[0]["lower_error"]),
            "reward": _spread([each["reward"] for each in many], 0.0),
            "trainings": (float(len(entries)), 0.0),
            "seconds": (fmean(entry.get("trained", {"cpu_seconds": 0.0})["cpu_seconds"] for entry in entries), 0.0),
        }
    return found


def table(own: dict) -> list[str]:
    head = ("q", "KL(q ‖ p*)", "KL(p* ‖ q)", "gap at 16", "reward at 16", "trainings", "seconds each")
    lines = [f"| {' | '.join(head)} |", f"| --- {'| --: ' * (len(head) - 1)}|"]
    for name, row in sorted(rows(own).items(), key=lambda each: _total(each[1])):
        cells = [
            name,
            *(
                f"{plain(row[each][0], 3)} ± {plain(row[each][1], 1)}"
                for each in ("q_from_target", "target_from_q", "gap")
            ),
        ]
        number = "–" if name == "the reference" else f"{row['trainings'][0]:.0f}"
        seconds = "–" if name == "the reference" else plain(row["seconds"][0], 2)
        lines.append(f"| {' | '.join([*cells, plain(row['reward'][0], 3), number, seconds])} |")
    return lines


def _total(row: dict[str, tuple[float, float]]) -> float:
    return row["q_from_target"][0] + row["target_from_q"][0]


def _spread(figures: list[float], error: float) -> tuple[float, float]:
    return fmean(figures), stdev(figures) if len(figures) > 1 else error
