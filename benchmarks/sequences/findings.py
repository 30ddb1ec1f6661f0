"""What the batches of the study of sequences say together, row by row, and what came out of them."""

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from benchmarks.common.estimates import Estimate
from benchmarks.sequences.authors import QUANTILES
from benchmarks.sequences.batches import SEED
from benchmarks.sequences.rows import ROWS

RESAMPLES = 400  # of the bootstrap


@dataclass(frozen=True)
class Drawn:
    """A row of a problem: all that its batches hold."""

    name: str
    batches: list[dict]

    @cached_property
    def sequences(self) -> list[str]:
        return [each for batch in self.batches for each in batch["sequences"]]

    @cached_property
    def rewards(self) -> np.ndarray:
        return np.array([each for batch in self.batches for each in batch["rewards"]])

    @property
    def mean(self) -> Estimate:
        rewards = self.rewards.tolist()
        return fmean(rewards), stdev(rewards) / len(rewards) ** 0.5

    @cached_property
    def quantiles(self) -> list[Estimate]:
        """20, 50, 80 and 90 %, each with the standard error that resampling the sequences tells."""
        rewards, generator = self.rewards, np.random.default_rng(0)
        resampled = rewards[generator.integers(len(rewards), size=(RESAMPLES, len(rewards)))]
        errors = np.quantile(resampled, QUANTILES, axis=1).std(axis=1, ddof=1)
        return [(float(cut), float(error)) for cut, error in zip(np.quantile(rewards, QUANTILES), errors)]

    def cost(self, kind: str) -> float:
        """Calls, or seconds, a sequence."""
        return fmean(batch["per_sequence"][kind] for batch in self.batches)

    @property
    def process_calls(self) -> float:
        """Of the reference, or of the policy in its place, and gradients through it."""
        return sum(self.cost(kind) for kind in ("reference_calls", "policy_calls"))


def gather(held: dict, problem: str) -> dict[str, Drawn]:
    """The rows of a problem that are there, in the order of the study."""
    rows: dict[str, list[dict]] = {}
    for name in ROWS:
        start = f"{problem}/{name}/{SEED}/"
        own = [each for place, each in held["batches"].items() if place.startswith(start)]
        if own:
            rows[name] = own
    return {name: Drawn(name, own) for name, own in rows.items()}
