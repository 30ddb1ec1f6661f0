"""The page docs/leaderboards/stories_truth.md, written from its results."""

import math
from collections import defaultdict
from statistics import fmean, stdev

from benchmarks.common.pages import folded, not_measured, opening, reproduce
from benchmarks.stories_truth import learned
from benchmarks.stories_truth.figures import NAME
from benchmarks.stories_truth.problem import PROBLEMS
from svlearn.evaluation.report.numbers import plain

TITLE = "Two tokens of a language model, against exact truth"
NOTES = """\

One text of each of {number:,} groups. Texts, first tokens: total variation from p*; exact draws: that of as many draws
of p* itself, ± the standard deviation of five: nothing can be told to be below it. Ẑ/Z: its mean ± standard error over
the groups, unbiased: where it is many errors below 1 the rest is in groups of great weight, so rare that none was met
and the error does not know of them, and the row is left out of the sentence above; deviation: the root mean squared of
Ẑ/Z - 1, of one group. Positions: of how many tokens hidden states were computed for a text drawn; rewards: calls of r
for it. Seconds: of the processor, one thread of a shared machine.
Values are heads on the model's last hidden state, for all 512 next tokens (`NextToken`), trained for {values} steps of
{batch} texts; policies adapters of rank {rank}, trained for {policies}; ± the standard deviation among the
trainings, where there are several. R²: of v at the texts of one token, up to a constant, weighted by p_ref or p*.
Policies that need a finite reward are not trained on the constraint. Diverged: a training ended at a
gradient that was not finite; where few texts meet a constraint, exp((r - v)/alpha) of the soft losses is 0 for most
and then too large.
"""
COLUMNS = ("Sampler", "texts", "first tokens", "Ẑ/Z", "deviation", "reward", "met", "positions", "rewards", "ms")


def page(held: dict) -> str:
    """The Markdown of the results, as far as they go."""
    if not all("truth" in held[name] for name in PROBLEMS):
        return not_measured(TITLE, "stories_truth")
    parts = [opening(TITLE, headline(held), {NAME: "How far the texts of each sampler are from p*"})]
    for name, problem in PROBLEMS.items():
        own = held[name]
        exact = own["truth"]
        parts.append(f'## {name.capitalize()}: "{problem.prompt} …"\n')
        if exact["mean_reward"] is None:
            said = f"p_ref does with probability {plain(math.exp(exact['log_normalizer']), 3)}"
        else:
            means = (plain(exact[each], 3) for each in ("mean_reward", "target_reward"))
            said = "the mean reward is {} of p_ref and {} of p*".format(*means)
        log_z = plain(exact["log_normalizer"], 4)
        parts.append(f"{problem.what}. {exact['texts']:,} texts, log Z = {log_z}; {said}.\n")
        trained = "\n".join([*values_table(own), "", *policies_table(own)])
        parts += [*samplers_table(own), "", folded("What was trained: R² and KL", trained)]
    notes = NOTES.format(
        number=next(iter(held.values()))["truth"]["number"],
        values=learned.VALUE_STEPS,
        policies=learned.POLICY_STEPS,
        batch=learned.BATCH,
        rank=learned.RANK,
    )
    return "\n".join([*parts, notes.lstrip("\n"), reproduce("stories_truth", held)])


def headline(held: dict) -> str:
    """Which sampler estimates log Z best for its positions, learned and not, on both problems."""
    sentences = []
    for name in PROBLEMS:
        known = {
            sampler: row
            for sampler, row in rows_of(held[name]).items()
            if "ratio" in row and row["kind"] != "policy" and abs(row["ratio"][0] - 1) < 3 * row["ratio"][1]
        }
        if not known:
            continue
        worth = {sampler: row["relative_deviation"] ** 2 * row["positions"] for sampler, row in known.items()}
        free = min((each for each in known if known[each]["kind"] == "free"), key=worth.__getitem__, default=None)
        trained = min((each for each in known if known[each]["kind"] == "value"), key=worth.__getitem__, default=None)
        if free is None or trained is None:
            continue
        times = worth[free] / worth[trained]
        verdict = f"{plain(times, 2)} times fewer" if times > 1 else f"{plain(1 / times, 2)} times more"
        sentences.append(f"on the {name}, {trained} needs {verdict} token positions than {free}")
    if not sentences:
        return "**Nothing learned is measured yet.**"
    text = "; ".join(sentences)
    return f"**For as good an estimate of Z: {text}, its training apart.**"


def rows_of(own: dict) -> dict[str, dict]:
    """A row for each sampler, over its trainings: the mean of each figure, and its deviation among them."""
    groups = defaultdict(list)
    for name, entry in own.items():
        if name == "truth":
            continue
        kind, _, rest = name.partition(", ") if name.startswith(("value, ", "policy, ")) else ("free", "", "")
        family = rest.rpartition(", ")[0]
        for sampler, figures in entry["samplers"].items():
            label = sampler if kind == "free" else f"{family}: {sampler}"
            groups[kind, label].append(figures)
    found = {}
    for (kind, label), figures in groups.items():
        row: dict = {"kind": kind}
        for each in ("texts", "first_tokens", "met"):
            row[each] = _spread([one[each] for one in figures])
        row["reward"] = (
            _spread([one["reward"] for one in figures]) if all(one["reward"] is not None for one in figures) else None
        )
        for each in ("positions", "reward_calls", "cpu_seconds"):
            row[each] = fmean(one["per_sample"][each] for one in figures)
        if "ratio" in figures[0]:
            row["ratio"] = (fmean(one["ratio"][0] for one in figures), fmean(one["ratio"][1] for one in figures))
            row["relative_deviation"] = fmean(one["relative_deviation"] for one in figures)
        found[label] = row
    return found


def samplers_table(own: dict) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |", f"| --- {'| --: ' * (len(COLUMNS) - 1)}|"]
    floor = own["truth"]["floor"]
    drawn = [f"{plain(floor[name][0], 3)} ± {plain(floor[name][1], 1)}" for name in ("texts", "first_tokens")]
    lines.append(f"| {' | '.join(['*exact draws*', *drawn, *['–'] * (len(COLUMNS) - 3)])} |")
    for label, row in sorted(rows_of(own).items(), key=lambda each: each[1]["positions"]):
        ratio = "–" if "ratio" not in row else f"{plain(row['ratio'][0], 3)} ± {plain(row['ratio'][1], 1)}"
        deviation = "–" if "ratio" not in row else plain(row["relative_deviation"], 2)
        reward = "–" if row["reward"] is None else _said(row["reward"], 3)
        cells = [label, _said(row["texts"], 3), _said(row["first_tokens"], 3), ratio, deviation, reward]
        cells += [f"{100 * row['met'][0]:.0f}%", plain(row["positions"], 3), plain(row["reward_calls"], 3)]
        lines.append(f"| {' | '.join([*cells, plain(1000 * row['cpu_seconds'], 2)])} |")
    return lines


def values_table(own: dict) -> list[str]:
    lines = ["| Value | R² under p_ref | R² under p* | seconds of training |", "| --- | --: | --: | --: |"]
    for family, entries in _trained(own, "value").items():
        if any("diverged" in entry for entry in entries):
            lines.append(f"| {family} | diverged | diverged | – |")
            continue
        cells = [family]
        for law in ("p_ref", "p*"):
            figures = [entry["r2"][law] for entry in entries]
            cells.append("–" if None in figures else _said(_spread(figures), 3))
        lines.append(f"| {' | '.join([*cells, plain(fmean(each['trained']['cpu_seconds'] for each in entries), 2)])} |")
    return lines


def policies_table(own: dict) -> list[str]:
    lines = ["| Policy | KL(q ‖ p*) | KL(p* ‖ q) | seconds of training |", "| --- | --: | --: | --: |"]
    for family, entries in _trained(own, "policy").items():
        cells = [family]
        for name in ("q_from_target", "target_from_q"):
            figures = [entry["kl"][name] for entry in entries]
            cells.append("∞" if None in figures else _said(_spread(figures), 3))
        lines.append(f"| {' | '.join([*cells, plain(fmean(each['trained']['cpu_seconds'] for each in entries), 2)])} |")
    return lines


def _trained(own: dict, kind: str) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for name, entry in own.items():
        if name.startswith(f"{kind}, "):
            found[name.partition(", ")[2].rpartition(", ")[0]].append(entry)
    return found


def _spread(figures: list[float]) -> tuple[float, float | None]:
    return fmean(figures), stdev(figures) if len(figures) > 1 else None


def _said(figure: tuple[float, float | None], digits: int) -> str:
    mean, deviation = figure
    return plain(mean, digits) if deviation is None else f"{plain(mean, digits)} ± {plain(deviation, 1)}"
