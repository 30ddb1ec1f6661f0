"""The page docs/leaderboards/stories_budget.md, written from its results."""

import math
from typing import Any

from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.stories.texts import PROMPT
from benchmarks.stories_budget import learned
from benchmarks.stories_budget.figures import NAME
from benchmarks.stories_budget.findings import cheapest_free, is_measured, nearest_bound, pays_from, trained, winners
from benchmarks.stories_budget.rows import BUDGETS, FREE, LINEAGE_LOOKS, LOOKS, NUMBER, TRAINED
from benchmarks.stories_budget.tasks import PLAIN, TASKS, TOKENS
from svlearn.evaluation.report.numbers import plain, with_error

TITLE = "Learned against training-free, at equal token positions"
COLUMNS = (
    *("Method", "budget", "positions", "figure", "log Ẑ", "bound on log Z", "died"),
    *("self-BLEU", "distinct-2", "perplexity", "ms", "pays from"),
)
NOTES = """\
{tokens} new tokens of stories260k after "{prompt}"; one text of each of {number} groups, ± standard errors. Budget:
the token positions of so many plain texts ({single} each); positions: those that were computed for a text drawn, by
the reference and by the policy. Figure: that of the vertical axis above; p_ref, p* and log Z by {plain:,} plain texts
and their weights. Best-of-N looks for the largest reward and not for p*: above p*'s mean it is further from it again.
log Ẑ: log of the mean of Ẑ over the groups; bound: the mean of log Ẑ, below log Z; – where a group died or the
sampler has none. Self-BLEU and distinct-2 of the continuations, the lower and the higher the more different;
perplexity of the texts to the reference. ms: of the processor for a text, one thread of a shared machine.

SMC rolls each particle out once at t = {looks}, at the smallest budget at {few}; SVDD its candidates at {lineage},
and has candidates there and at the end alone, for a roll-out at each token would leave no budget a single particle.
SVDD-PM has no row: a causal model says no x̂_T of a text that has begun. Twisted SMC: a head on the last hidden state
for all next tokens, by the contrastive twist, with the proposal that it induces. Policy: adapters of rank {rank}, by
PPO for the sentiment and by distributional policy gradient for the constraint, whose texts are weighed and not
resampled. Each is trained once, the twist for {twist} steps of {batch} texts and the policy for {policy}. Pays from:
the number of texts from which its training is earned back in seconds of the processor, against the training-free
method that has the same figure for least (between budgets by interpolation); < where none has it at any budget,
beside the cheapest of the largest; never where that one is no dearer.
"""


def page(held: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    measured = {task: own for task, own in held.items() if is_measured(own)}
    if not measured:
        return not_measured(TITLE, "stories_budget")
    shows = f"{' and '.join(TASKS[task].figure for task in measured)} by token positions a text"
    parts = [opening(TITLE, headline(measured), {NAME: shows})]
    for task, own in measured.items():
        parts += [f"## {task.capitalize()}\n", f"{_said(task, own)}\n", table(own), training(own)]
    few, usual = (", ".join(map(str, LOOKS[budget])) for budget in (BUDGETS[0], BUDGETS[-1]))
    notes = NOTES.format(
        tokens=TOKENS,
        prompt=PROMPT,
        number=NUMBER,
        single=TOKENS - 1,
        plain=PLAIN,
        looks=usual,
        few=few,
        lineage=", ".join(map(str, LINEAGE_LOOKS)),
        rank=learned.RANK,
        twist=learned.TWIST_STEPS,
        policy=learned.POLICY_STEPS,
        batch=learned.BATCH,
    )
    return "\n".join([*parts, notes, reproduce("stories_budget", held)])


def headline(measured: dict[str, Any]) -> str:
    """Which method wins at which budget, and from when on what is learned pays."""
    sentences = []
    for task, own in measured.items():
        wins = [f"{' or '.join(winners(own, budget))} at {budget}" for budget in BUDGETS]
        pays = [f"{name} {_from_when(own, name)}" for name in trained(own)]
        nearest = nearest_bound(own, BUDGETS[-1])
        bound = [] if nearest is None else [f"the bound on log Z is nearest by {nearest} at {BUDGETS[-1]}"]
        sentences.append(f"{task}: {', '.join(wins)}; {'; '.join([*bound, ', '.join(pays)])}")
    return f"**Which wins at the positions of how many plain texts. {'. '.join(map(_capitalized, sentences))}.**"


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def table(own: dict[str, Any]) -> str:
    places = [(name, budget) for budget in BUDGETS for name in (*FREE, *trained(own))]
    return markdown_table(COLUMNS, (_cells(own, *place) for place in places))


def training(own: dict[str, Any]) -> str:
    rows = [
        (name, f"{own[name]['trained']['positions']:,.0f}", plain(own[name]["trained"]["cpu_seconds"], 2))
        for name in trained(own)
    ]
    return markdown_table(("Trained", "positions", "seconds"), rows)


def _cells(own: dict[str, Any], name: str, budget: int) -> list[str]:
    row = own[name]["budgets"][str(budget)]
    log_z, bound = (with_error(*row[each]) if row.get(each) else "–" for each in ("log_normalizer", "bound"))
    return [
        name,
        str(budget),
        f"{row['positions']:.0f}",
        with_error(*row["figure"]),
        log_z,
        bound,
        f"{100 * row['dead']:.0f}%" if "dead" in row else "–",
        plain(row["self_bleu"], 2),
        plain(row["distinct_2"], 2),
        plain(row["perplexity"], 3),
        plain(1000 * row["cpu_seconds"], 2),
        _number(own, name, budget) if name in TRAINED else "–",
    ]


def _said(task: str, own: dict[str, Any]) -> str:
    truth = own["truth"]
    of = {name: with_error(*truth[name]) for name in ("of_reference", "of_target", "log_normalizer")}
    return (
        f"{TASKS[task].what}. Figure: the {TASKS[task].figure}, {of['of_reference']} of p_ref and {of['of_target']} of "
        f"p*; log Z = {of['log_normalizer']}."
    )


def _number(own: dict[str, Any], name: str, budget: int) -> str:
    number = pays_from(own, name, budget)
    figure = own[name]["budgets"][str(budget)]["figure"][0]
    bound = "< " if math.isinf(cheapest_free(own, figure, "cpu_seconds")[1]) else ""
    return "never" if math.isinf(number) else f"{bound}{number:,.0f}"


def _from_when(own: dict[str, Any], name: str) -> str:
    """In words, at the budget at which it pays soonest."""
    numbers = {budget: pays_from(own, name, budget) for budget in BUDGETS}
    budget = min(numbers, key=numbers.__getitem__)
    if math.isinf(numbers[budget]):
        return "never pays"
    bound = "fewer than " if "<" in _number(own, name, budget) else ""
    return f"pays from {bound}{numbers[budget]:,.0f} texts on at {budget}"
