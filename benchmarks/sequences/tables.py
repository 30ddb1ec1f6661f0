"""The tables of docs/leaderboards/sequences.md."""

from benchmarks.common.pages import markdown_table
from benchmarks.sequences.authors import QUANTILES
from benchmarks.sequences.findings import Drawn, kind_of
from svlearn.evaluation.report.numbers import plain, with_error

CALLS = {
    "reference_calls": "reference",
    "policy_calls": "policy",
    "value_calls": "value",
    "gradient_calls": "gradient",
    "reward_calls": "reward",
}
SHARES = [f"{share:.0%}" for share in QUANTILES]


def of_rewards(rows: dict[str, Drawn], authors: dict[str, dict]) -> str:
    """Rewards of each row, and the quantiles that the authors' own samples have by their own oracle."""
    cells = []
    for row in sorted(rows.values(), key=lambda each: each.mean[0]):
        theirs = authors.get(row.name)
        quoted = "–" if theirs is None else " / ".join(f"{each:.2f}" for each in theirs["quantiles"])
        quantiles = [with_error(*each) for each in row.quantiles]
        cells.append([row.label, kind_of(row.name), str(len(row.rewards)), with_error(*row.mean), *quantiles, quoted])
    return markdown_table(["Row", "needs", "sequences", "mean", *SHARES, "theirs"], cells, left=2)


def of_nature(rows: dict[str, Drawn], judged: dict[str, dict], data: dict | None) -> str:
    """What stands beside the rewards; the held-out sequences first."""
    sets = {} if data is None else {"*held-out data*": data}
    sets |= {
        rows[name].label: judged[name] for name in sorted(rows, key=lambda each: rows[each].mean[0]) if name in judged
    }
    names = list(next(iter(sets.values()))["judges"]) if sets else []
    cells = [
        [
            label,
            *(with_error(*each["judges"][name]) if name in each["judges"] else "–" for name in names),
            with_error(*each["bits"]),
            f"{each['word_correlation']:.2f}",
            plain(each["edit_distance"], 3),
            f"{each['duplicates']:.1%}",
        ]
        for label, each in sets.items()
    ]
    header = ["Row", *names, "bits a letter, at most", "3-mer r", "edit distance", "duplicates"]
    return markdown_table(header, cells)


def of_costs(rows: dict[str, Drawn]) -> str:
    """Calls and seconds a sequence."""
    ordered = sorted(rows.values(), key=lambda each: each.spent("process_calls"))
    cells = [
        [row.label, *(plain(round(row.cost(kind), 1), 4) for kind in CALLS), plain(row.cost("cpu_seconds"), 2)]
        for row in ordered
    ]
    return markdown_table(["Row", *CALLS.values(), "seconds"], cells)


def of_speed(speed: dict[str, dict]) -> str:
    """A row each reference."""
    cells = []
    for name, each in speed.items():
        seconds, calls = each["cpu_seconds"], each["reference_calls"]
        per_letter = (plain(calls[kind] / each["letters"], 3) for kind in ("skipping", "every step"))
        rates = (plain(1 / seconds[kind], 3) for kind in ("skipping", "every step", "bare loop"))
        loop = seconds["every step"] / seconds["bare loop"] - 1
        cells.append([name, *rates, *per_letter, f"{loop:+.0%}"])
    header = ["Reference", "skipping", "every step", "bare loop", "calls a letter, skipping", "every step", "loop"]
    return markdown_table(header, cells)
