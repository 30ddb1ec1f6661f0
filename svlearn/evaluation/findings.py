"""What a comparison of samplers found: the figures, before anyone draws or writes them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from svlearn.evaluation.report.verdict import verdict
from svlearn.evaluation.summary import Floats


@dataclass(frozen=True)
class Gallery:
    """A few decoded samples with their rewards, the best and some drawn at random, and how to draw them."""

    best: list[tuple[Any, float]]
    random: list[tuple[Any, float]]
    draw: Callable[[list, list[str]], str | None] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Findings:
    """What `compare` found, by the samplers' names and in their order.

    rewards (S · N,): of the drawn samples, seed by seed, reward units; figures: the columns of `table`; curves: by
    time step, see `curves.curves`; pairs: (learned, baseline) names of which the report gives the verdict;
    diagnoses: what `diagnose` says of the samplers' runs, of those it has something to say of; notes: what a reader
    must know before comparing.
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

    @property
    def table(self) -> pd.DataFrame:
        """One row per sampler. Rewards in reward units, `_nats`, `_mib`, `seconds_`; NaN where a figure has no
        meaning for a sampler."""
        return pd.DataFrame.from_dict(self.figures, orient="index").rename_axis("sampler")

    def verdict(self, learned: str, baseline: str) -> str:
        """One plain sentence: mean rewards, their difference against noise, and the ratio of costs.

        Raises ValueError for a name that was not compared.
        """
        return verdict(self.figures, learned, baseline)

    def verdicts(self) -> list[str]:
        """The sentences of `pairs`; without pairs, those of the best mean reward against each other sampler."""
        pairs = self.pairs
        if not pairs:
            best = max(self.figures, key=lambda name: self.figures[name]["mean_reward"])
            pairs = tuple((best, other) for other in self.figures if other != best)
        return [self.verdict(*pair) for pair in pairs]
