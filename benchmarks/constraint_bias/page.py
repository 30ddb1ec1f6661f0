"""The page docs/leaderboards/constraint_bias.md, written from its results."""

import math
from typing import Any

from benchmarks.common.dots import FREE, OTHER, Dot, Panel, chart
from benchmarks.common.pages import markdown_table, not_measured, opening, reproduce
from benchmarks.constraint_bias.beside import END, PARTICLES
from benchmarks.constraint_bias.beside import PATTERN as WORDS
from benchmarks.constraint_bias.problem import PATTERN, PROMPT
from svlearn.evaluation.report.numbers import plain, with_error

NAME = "constraint_bias.svg"
TITLE = "Constraint bias, against exact truth"
LIBRARIES = ("svlearn", "genlm-control, exact", "genlm-control, AWRS")
NOTES = """
stories260k goes on from "{prompt}" with two tokens, 512² texts of which all are enumerated. The constraint is the
regular expression `{pattern}`, as the target `targets.constraint(Grammar.regex(...))`: it holds with probability
{share} (log Z = {log_z} nats). After " little", which the model writes most, one more token never makes a match: a
dead end. {texts:,} texts match; p\\* is as wide as {effective} equally likely ones. {groups:,} groups a row, one draw
of each. TV: total variation of the shares of texts to p\\*; as many exact draws show {floor}, and nothing can be told
to be below that. Match: the share of draws that match. log Z: of the mean of Z over all groups, ± a standard error;
spread: the standard deviation of one group's Z, relative to the exact one. Calls are of a group; ms: of the processor,
one thread of a shared machine.

"Locally masked" draws each token among those that keep the text completable, `proposals.Exact(Completable(grammar))`
with one particle; "in time" also sees that the buffer ends, `CompletableInTime`. The exact laws of both are known: TV
{blind_tv} and {time_tv}, {blind_match} and {time_match} of them matching. SMC has the same proposal and weighs it;
SVDD draws from the reference and chooses by `Completable`, at the end by the reward: with ever more candidates its TV
tends to {svdd_tv}. Importance sampling and best-of-n draw from the reference; what they have that matches is p\\*.

## Beside genlm-control

The same model, expression and number of particles by [genlm-control](https://github.com/genlm/genlm-control)
{version}: texts of at most {length} tokens that end with "{end}" and match `{words}`, for which log Z = {long_log_z},
the sum over {ways:,} ways to write them in tokens. {runs} runs one after the other, for which genlm-control's memory of
the model's calls was emptied each time, and {runs} at once. "Exact" proposes by the product of model and expression, as
svlearn does; AWRS by rejection, which looks at fewer tokens. Tokens a second: those of the final texts, by a second of
the processor, one thread. The machine was shared, and the same run took up to three times as long at one time as at
another: of speeds only large differences mean something.

{beside}
"""


def page(held: dict[str, Any]) -> str:
    """The Markdown of the results, as far as they go."""
    if not held["rows"] or not held["truth"] or not held["beside"]:
        return not_measured(TITLE, "constraint_bias")
    exact, rows, long = held["truth"]["exact"], held["rows"], held["beside"]["exact"]
    others = [row for name, row in held["beside"].items() if name.startswith("genlm")]
    head = ("Row", "TV to p\\*", "match", "log Z", "spread", "reference calls", "value calls", "reward calls", "ms")
    notes = NOTES.format(
        prompt=PROMPT,
        pattern=PATTERN,
        share=percent(math.exp(exact["log_normalizer"])),
        log_z=f"{exact['log_normalizer']:.3f}",
        texts=exact["texts"],
        effective=plain(exact["effective_texts"], 2),
        groups=exact["groups"],
        floor=with_error(*exact["floor"]),
        blind_tv=plain(exact["locally masked"]["total_variation"], 3),
        time_tv=plain(exact["locally masked, in time"]["total_variation"], 3),
        svdd_tv=plain(exact["SVDD, ever more candidates"]["total_variation"], 3),
        blind_match=percent(exact["locally masked"]["matching"]),
        time_match=percent(exact["locally masked, in time"]["matching"]),
        version=others[0]["versions"]["genlm-control"] if others else "(not measured)",
        length=long["length"],
        end=END,
        words=WORDS,
        long_log_z=f"{long['log_normalizer']:.3f}",
        ways=long["ways"],
        runs=long["runs"],
        beside=beside(held["beside"]),
    )
    first = opening(TITLE, headline(held), {NAME: "Total variation of each row to the posterior"})
    foot = reproduce("constraint_bias", held)
    return f"{first}\n{markdown_table(head, [line(*each) for each in rows.items()])}{notes}{foot}"


def figures(held: dict[str, Any]) -> dict[str, str]:
    """SVG by file name; what is below as many exact draws is noise."""
    if not held["rows"] or not held["truth"]:
        return {}
    dots = [
        Dot(name, row["total_variation"], row["total_variation"], row["total_variation"], OTHER if place == 0 else FREE)
        for place, (name, row) in enumerate(held["rows"].items())
    ]
    floor = held["truth"]["exact"]["floor"][0], "as many exact draws"
    label = "total variation to the posterior"
    panel = Panel("Two tokens under a constraint", label, dots, best="low", line=floor, logarithmic=True)
    return {NAME: chart("constraint_bias", [panel])}


def headline(held: dict[str, Any]) -> str:
    """What masking alone does, what SMC makes of it, and what knowing the buffer's end is worth."""
    exact, rows = held["truth"]["exact"], held["rows"]
    blind, best = exact["locally masked"], rows.get("SMC in time, K = 64")
    text = (
        f"**Masking each token alone is {plain(blind['total_variation'], 2)} from the posterior in total variation, "
        f"and {plain(exact['locally masked, in time']['total_variation'], 2)} where it sees that the buffer ends."
    )
    if best is not None:
        text += (
            f" SMC with the same proposal corrects it: {plain(best['total_variation'], 2)} with 64 particles, where as "
            f"many exact draws show {plain(exact['floor'][0], 2)}."
        )
    text += "**"
    names = ("SMC, K = 64", "importance sampling, K = 64", "SVDD, M = 64")
    if all(name in rows for name in names):
        shown = ", ".join(f"{name} {plain(rows[name]['total_variation'], 2)}" for name in names)
        text += (
            f" As many particles or candidates without sight of the buffer's end: {shown}. SVDD chooses within each "
            "step, by a value that says what is possible and not how likely it is, and so keeps the bias of masking."
        )
    return text


def line(name: str, row: dict[str, Any]) -> list[str]:
    spent = row["per_group"]
    log_z = "–"
    if row["log_normalizer"] is not None:
        log_z = with_error(row["log_normalizer"], row["standard_error"])
    return [
        name,
        plain(row["total_variation"], 2),
        percent(row["matching"]),
        log_z,
        "–" if row["spread"] is None else plain(row["spread"], 2),
        *(plain(spent[kind], 3) for kind in ("reference_calls", "value_calls", "reward_calls")),
        plain(1000 * spent["cpu_seconds"], 2),
    ]


def beside(held: dict[str, Any]) -> str:
    """The table of the two libraries."""
    head = ("Row", "log Z", "spread", "tokens a second, one run", "all at once")
    names = [f"{kind}, K = {number}" for number in PARTICLES for kind in LIBRARIES]
    rows = [
        [
            name,
            with_error(held[name]["log_normalizer"], held[name]["standard_error"]),
            plain(held[name]["spread"], 2),
            *(f"{held[name][kind]['tokens_per_second']:,.0f}" for kind in ("alone", "together")),
        ]
        for name in names
        if name in held
    ]
    return markdown_table(head, rows)


def percent(share: float) -> str:
    return f"{plain(100 * share, 3)} %"
