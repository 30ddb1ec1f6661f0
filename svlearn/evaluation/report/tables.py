"""A comparison as text: the rows that people read, Markdown, JSON."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from svlearn.evaluation.findings import Findings
from svlearn.evaluation.report.numbers import between, plain, with_error
from svlearn.evaluation.summary import OWN_FIGURES

_COSTS = {
    "reference_calls_per_sample": "Reference calls / sample",
    "policy_calls_per_sample": "Policy calls / sample",
    "value_calls_per_sample": "Value calls / sample",
    "gradient_calls_per_sample": "Gradient calls / sample",
    "reward_calls_per_sample": "Reward calls / sample",
    "seconds_per_sample": "Seconds / sample",
    "peak_memory_mib": "Peak memory (MiB)",
}
_LONG = ("policy", "gradient", "peak")
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")  # what a spreadsheet takes for one
FAILURE = "failure"


def readable(table: pd.DataFrame, compact: bool = False) -> pd.DataFrame:
    """The figures as people read them: one row per sampler, text in every cell, columns without a figure left out.

    compact: without intervals, and of the costs only reference, value and reward calls and seconds.
    """
    columns: dict[str, Any] = {}
    if bool((table["minus_infinity_fraction"] > 0).any()):  # a mean of -inf tells nothing
        columns["Reward finite (%)"] = _shares(table)
        columns["Mean of finite rewards"] = _errors(table, "mean_finite_reward")
    else:
        columns["Mean reward ± s.e."] = _errors(table, "mean_reward")
        if not compact:
            columns["95 % interval"] = _intervals(table, "mean_reward")
    for name, title in (("reward_quantile_80", "Top 20 %"), ("reward_quantile_90", "Top 10 %")):
        columns[title] = [plain(value) for value in table[name]]
        if not compact:
            columns[f"{title} interval"] = _intervals(table, name)
    columns["Weighted mean (particles)"] = _errors(table, "weighted_mean_reward")
    if bool((table["dead_group_fraction"] > 0).any()):
        columns["Dead groups (%)"] = [plain(100 * value) for value in table["dead_group_fraction"]]
    if not compact:
        columns["log Z (nats)"] = _errors(table, "log_normalizer", "_nats")
    for name in described(table):
        own = f"{name}_standard_error" in table.columns
        columns[_heading(name)] = _errors(table, name) if own else [plain(value) for value in table[name]]
    for name, title in _COSTS.items():
        idle = name.startswith(("policy", "gradient")) and not bool((table[name] > 0).any())
        if not idle and not (compact and name.startswith(_LONG)):
            columns[title] = [_amount(value) for value in table[name]]
    if not compact and bool((table["num_seeds"] > 1).any()):
        columns["Spread over seeds"] = [plain(value, 2) for value in table["mean_reward_spread_over_seeds"]]
    columns["Samples"] = [plain(value) for value in table["num_samples"]]
    if FAILURE in table.columns:
        columns["Failure"] = [text or "–" for text in table[FAILURE]]
    filled = {title: cells for title, cells in columns.items() if any(cell != "–" for cell in cells)}
    return pd.DataFrame(filled, index=table.index)


def costs(columns: Iterable[str]) -> list[str]:
    """Those of the columns of `readable` that tell what a sample costs."""
    return [title for title in columns if title in _COSTS.values() or title == "Samples"]


def described(table: pd.DataFrame) -> list[str]:
    """The columns that judges, metrics and the reference's `describe` gave, without the standard errors among them."""
    others = [name for name in table.columns if name not in OWN_FIGURES and name != FAILURE]
    errors = {f"{name}_standard_error" for name in others}
    return [name for name in others if name not in errors]


def to_markdown(table: pd.DataFrame) -> str:
    """A GitHub table, its columns aligned for terminals; what a name holds of Markdown and HTML is shown as text."""
    text = readable(table, compact=True)
    names = [name if isinstance(name, tuple) else (name,) for name in text.index]
    left = text.index.nlevels  # the columns of names: samplers, and conditions where there are several
    rows = [
        [*["Sampler", "Condition"][:left], *text.columns],
        *([*name, *cells] for name, cells in zip(names, text.to_numpy().tolist())),
    ]
    cells = [[_escape(str(cell)) for cell in row] for row in rows]
    widths = [max(3, *(len(row[place]) for row in cells)) for place in range(len(cells[0]))]
    rule = [*("-" * width for width in widths[:left]), *("-" * (width - 1) + ":" for width in widths[left:])]
    padded = [
        [
            *(cell.ljust(width) for cell, width in zip(row[:left], widths)),
            *(cell.rjust(width) for cell, width in zip(row[left:], widths[left:])),
        ]
        for row in [cells[0], rule, *cells[1:]]
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    """The table; a name that a spreadsheet would take for a formula gets an apostrophe before it."""
    safe = table.rename(index=_defused, columns=_defused)
    if FAILURE in safe.columns:
        safe[FAILURE] = safe[FAILURE].map(_defused)
    return safe.to_csv()


def to_json(comparison: Findings) -> str:
    """Everything but the pictures, as `strict_json`."""
    content = {
        **_findings_of(comparison),
        "calibrations": {name: frame.to_dict("list") for name, frame in comparison.calibrations.items()},
        "provenance": comparison.provenance,
    }
    if comparison.failures:
        content["failures"] = comparison.failures
    if comparison.by_condition:
        content["by_condition"] = {label: _findings_of(each) for label, each in comparison.by_condition.items()}
    return strict_json(content)


def _findings_of(comparison: Findings) -> dict[str, Any]:
    """What was found, of all conditions or of one."""
    return {
        "figures": comparison.figures,
        "verdicts": comparison.verdicts(),
        "notes": list(comparison.notes),
        "rewards": comparison.rewards,
        "curves": {name: frame.to_dict("list") for name, frame in comparison.curves.items()},
        "diagnoses": comparison.diagnoses,
    }


def strict_json(content: dict[str, Any]) -> str:
    """Strict JSON: NaN is null, an infinity is a string that float() reads. It is safe inside a script element."""
    text = json.dumps(_strict(content), indent=1, allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029") + "\n"


def _heading(name: str) -> str:
    """A figure's name as a heading: words, of which the first begins with a capital and the others stay as they are."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _amount(value: float) -> str:
    return f"{value:.0f}" if 1000 <= value < 1e7 else plain(value, 3)


def _shares(table: pd.DataFrame) -> list[str]:
    """The shares of finite rewards in percent, with their standard errors."""
    shares = 1 - table["minus_infinity_fraction"]
    errors = np.sqrt(shares * (1 - shares) / table["num_samples"])
    return [with_error(100 * share, 100 * error) for share, error in zip(shares, errors)]


def _errors(table: pd.DataFrame, name: str, unit: str = "") -> list[str]:
    pairs = zip(table[f"{name}{unit}"], table[f"{name}_standard_error{unit}"])
    return [with_error(value, error) for value, error in pairs]


def _intervals(table: pd.DataFrame, name: str) -> list[str]:
    return [between(low, high) for low, high in zip(table[f"{name}_low"], table[f"{name}_high"])]


def _escape(cell: str) -> str:
    text = re.sub(r"([\\|*`\[\]~])|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(cell.split()))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?i)(\w)(://)|\b(www)(\.)", lambda match: "\\".join(filter(None, match.groups())), text)


def _defused(text: str) -> str:
    whole = str(text).replace("\r\n", "\n").replace("\r", "\n")  # a lone carriage return would end the row
    return f"'{whole}" if whole.startswith(_FORMULA) else whole


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return _strict(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    if isinstance(value, np.generic):
        return _strict(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
