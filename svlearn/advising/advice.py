"""What an advice says, as it is read, written and used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from svlearn.advising.break_even import BreakEven
from svlearn.advising.estimates import Estimate
from svlearn.evaluation.report.numbers import plain
from svlearn.evaluation.report.tables import strict_json
from svlearn.files import write
from svlearn.inference.sampler import Sampler
from svlearn.metering import Cost

SHOWN = ("reward", "standard_error", "price", "gain", "gain_low", "gain_high", "pareto", "stage", "num_samples")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><style>
body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem; }}
.text {{ border-left: 4px solid #0072b2; padding: 0.6rem 1.1rem; font-size: 1.05rem; }}
div {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: 0.9rem; }}
th, td {{ padding: 0.35rem 0.7rem; text-align: right; border-bottom: 1px solid #8884; }}
th:first-child {{ text-align: left; }}
pre {{ overflow-x: auto; padding: 0.8rem; border: 1px solid #8884; }}
</style></head><body><h1>{title}</h1>
<p class="text">{text}</p>{notes}
<h2>Reward against price</h2>
<p>Final figures are of samples that no choice was made by; those of stage "race" are of samples that they were chosen
by, and flatter. Prices: {unit} a sample. Intervals: 90 %.</p><div>{front}</div>
{gains}<h2>As a configuration</h2><pre>{yaml}</pre>
<h2>What it cost</h2><p>{spent}</p></body></html>
"""


@dataclass(frozen=True)
class Advice:
    """Which sampler to use here, at which cost, and from how many samples on training pays.

    recommended, sampler: its name and the sampler itself. text: the answer in one paragraph.
    front: a row for each sampler: reward and standard_error (reward units), price of a sample (unit; training apart),
    training_price, gain over best-of-N at the same price with the ends of its 90 % interval, calls and seconds a
    sample, num_samples, what else was seen (share of distinct samples, the reference's own figures, log Z and KL(q ||
    p_ref) in nats where they are known), stage ("final": of fresh samples; "race": of those it was judged by), and
    pareto: no other final row has at least its reward at a lower price, its share of the training counted.
    gain: of the recommended sampler. break_even: of the best trained sampler; None where there is none.
    gains: the table of `values.selection_gain` by value; empty where no value was looked at. rates: seconds a call by
    kind and batch size; empty for a budget in calls.
    skipped: why samplers were not tried, by name. notes: what was noticed. spent: all of it, the pilots too, in the
    `unit` of the budget `price`.
    """

    recommended: str
    sampler: Sampler
    text: str
    front: pd.DataFrame
    gain: Estimate | None
    break_even: BreakEven | None
    gains: pd.DataFrame
    rates: pd.DataFrame
    skipped: Mapping[str, str]
    notes: tuple[str, ...]
    spent: Cost
    price: float
    unit: str
    configuration: Mapping[str, Any] | str = field(repr=False, default="")

    @property
    def yaml(self) -> str:
        """A configuration of `svlearn evaluate` that draws the recommended sampler beside best-of-N at its price.

        Raises ValueError, with the reason, where something in it has no recipe, as a reward that is a lambda.
        """
        if isinstance(self.configuration, str):
            raise ValueError(f"yaml: expected parts that a configuration can name, got {self.configuration}")
        return yaml.safe_dump(dict(self.configuration), sort_keys=False, allow_unicode=True, width=100)

    def to_json(self, path: str | Path) -> Path:
        """Write all of it but the sampler. NaN is null, an infinity a text (strict JSON)."""
        return write(path, strict_json(self.as_content()))

    def as_content(self) -> dict[str, Any]:
        """All of it but the sampler, as JSON holds it."""
        pays = self.break_even
        return {
            "recommended": self.recommended,
            "text": self.text,
            "gain": None if self.gain is None else dict(self.gain.as_dict()),
            "break_even": None if pays is None else vars(pays),
            "front": self.front.reset_index().to_dict("records"),
            "gains": self.gains.to_dict("list"),
            "rates": self.rates.to_dict("list"),
            "skipped": dict(self.skipped),
            "notes": list(self.notes),
            "spent": vars(self.spent),
            "price": self.price,
            "unit": self.unit,
            "configuration": self.configuration,
        }

    def to_html(self, path: str | Path, *, title: str = "Which sampler to use") -> Path:
        """Write a page, one self-contained file."""
        gains = ""
        if len(self.gains):
            table = self.gains.pivot(index="t", columns="value", values="gain")
            gains = f"<h2>What a choice between two gains, by time</h2><div>{_table(table)}</div>\n"
        page = PAGE.format(
            title=escape(title),
            text=escape(self.text),
            notes="".join(f"<p>{escape(note)}</p>" for note in self.notes),
            unit=escape(self.unit),
            front=_table(self.front[[name for name in SHOWN if name in self.front]]),
            gains=gains,
            yaml=escape(self.configuration if isinstance(self.configuration, str) else self.yaml),
            spent=escape(f"{plain(self.price)} {self.unit}: {self.spent}"),
        )
        return write(path, page)

    def __str__(self) -> str:
        """The paragraph, the final rows, and the notes."""
        rows = self.front[self.front["stage"] == "final"][[name for name in SHOWN if name in self.front]]
        return "\n\n".join([self.text, rows.to_string(float_format=lambda number: f"{number:.4g}"), *self.notes])


def _table(table: pd.DataFrame) -> str:
    return table.to_html(border=0, float_format=lambda number: plain(float(number)), na_rep="–", escape=True)
