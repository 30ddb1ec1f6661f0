"""What a comparison of samplers found: the figures, before anyone draws or writes them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from svlearn.conditions import ALL
from svlearn.evaluation.report.verdict import verdict
from svlearn.evaluation.summary import Floats

GALLERY_SIZE = 8


@dataclass(frozen=True)
class Gallery:
    """A few decoded samples with their rewards, the best and some drawn at random, and how to draw them.

    draw None: the samples are text and are shown as it. overview: what draws all samples in one picture, if there is.
    """

    best: list[tuple[Any, float]]
    random: list[tuple[Any, float]]
    draw: Callable[[list, list[str]], str | None] | None = field(repr=False)
    overview: Callable[[], str | None] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Findings:
    """What `compare` found, by the samplers' names and in their order.

    rewards (S · N,): of the drawn samples, seed by seed, reward units; figures: the columns of `table`; curves: by
    time step, see `curves.curves`; pairs: (learned, baseline) names of which the report gives the verdict;
    diagnoses: what `diagnose` says of the samplers' runs, of those it has something to say of; notes: what a reader
    must know before comparing; failures: what ended the runs of a sampler before the last seed. A sampler that failed
    in its first seed is in `failures` alone, and in `table` without figures.
    by_condition: the findings of each condition on its own, by its label, where there are several. All else is then of
    all conditions together, where a log Z has no meaning; pictures, notes and diagnoses of a condition are its own.
    """

    rewards: dict[str, Floats]
    figures: dict[str, dict[str, float]]
    pairs: tuple[tuple[str, str], ...] = ()
    curves: dict[str, pd.DataFrame] = field(default_factory=dict)
    diagnoses: dict[str, list[str]] = field(default_factory=dict)
    calibrations: dict[str, pd.DataFrame] = field(default_factory=dict)
    galleries: dict[str, Gallery] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    by_condition: "dict[str, Findings]" = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """One row per sampler. Rewards in reward units, `_nats`, `_mib`, `seconds_`; NaN where a figure has no
        meaning for a sampler. Where samplers failed, they come last, and a column `failure` says of what. All its
        columns: `print(table.T.to_string())`; a comparison prints itself as the compact table that people read.

        Of several conditions: one row per sampler and condition, of which the index has a level `condition`; the first
        of a sampler, "all", is of all together."""
        if not self.by_condition:
            return self.overall_table
        tables = {ALL: self.overall_table} | {label: each.overall_table for label, each in self.by_condition.items()}
        rows = [(name, label) for name in self.overall_table.index for label in tables]
        whole = pd.concat(tables, names=["condition"]).swaplevel()
        return whole.reindex(pd.MultiIndex.from_tuples(rows, names=["sampler", "condition"]))

    @property
    def overall_table(self) -> pd.DataFrame:
        """One row per sampler, of all conditions together."""
        failed = [name for name in self.failures if name not in self.figures]
        table = pd.DataFrame.from_dict(self.figures, orient="index").rename_axis("sampler")
        if self.failures:
            table = table.reindex([*self.figures, *failed]).rename_axis("sampler")
            table["failure"] = pd.Series(self.failures, dtype=object).reindex(table.index).fillna("")
        return table

    def verdict(self, learned: str, baseline: str) -> str:
        """One plain sentence: mean rewards, their difference against noise, and the ratio of costs. Of several
        conditions it is of all together; `by_condition[label].verdict` is that of one.

        Raises ValueError for a name that was not compared.
        """
        return verdict(self.figures, learned, baseline)

    def verdicts(self) -> list[str]:
        """The sentences of `pairs`; without pairs, those of the best mean reward against each other sampler (of the
        largest share of finite rewards where some are -inf, the mean of those between equals)."""
        pairs = tuple(pair for pair in self.pairs if all(name in self.figures for name in pair))
        if not pairs and self.figures:
            best = max(self.figures, key=self._merit)
            pairs = tuple((best, other) for other in self.figures if other != best)
        return [self.verdict(*pair) for pair in pairs]

    def _merit(self, name: str) -> tuple[float, float]:
        figures = self.figures[name]
        reached = figures["mean_finite_reward"]
        return -figures["minus_infinity_fraction"], -math.inf if math.isnan(reached) else reached
