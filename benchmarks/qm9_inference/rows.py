"""The rows of docs/leaderboards/qm9_inference.md: a method at an alpha, over its seeds."""

import math
from dataclasses import dataclass
from statistics import fmean, stdev

from svlearn.evaluation.report.numbers import with_error

NEVER_READ = ("pretrained", "best-of-10", "beam, PM", "beam, learned")  # alpha, and so they stand beside every one
UNTRAINED = ("pretrained", "best-of-10", "SVDD-R")  # like all that reads PM
BIASED = "tree"  # whose estimate of Z is not unbiased, and so bounds nothing
KNOWN_ESS = 100  # trajectories that the weights of the reference must rest on to tell what p* is


@dataclass(frozen=True)
class Row:
    """The figures by seed; an error is one standard error."""

    name: str
    alpha: float
    seeds: dict[int, dict]

    def mean(self, figure: str) -> float:
        return fmean(float("nan") if each[figure] is None else each[figure] for each in self.seeds.values())

    def error(self, figure: str) -> float:
        """One standard error of `mean`."""
        return math.hypot(*(each[figure] for each in self.seeds.values())) / len(self.seeds)

    @property
    def reward(self) -> tuple[float, float]:
        """The error of what uses a learned value is never less than the spread of the seeds tells: they train anew."""
        error, means = self.error("mean_reward_standard_error"), self.seed_means
        if self.name not in UNTRAINED and "PM" not in self.name and len(means) > 1:
            error = max(error, stdev(means) / math.sqrt(len(means)))
        return self.mean("mean_reward"), error

    @property
    def seed_means(self) -> list[float]:
        return [each["mean_reward"] for each in self.seeds.values()]

    @property
    def reward_text(self) -> str:
        return with_error(*self.reward)

    @property
    def calls(self) -> float:
        return self.mean("reference_calls_per_sample")

    @property
    def log_normalizer(self) -> tuple[float, float] | None:
        """log Z, nats, by the mean of the groups' Z of all seeds; its error is that of Z over Z."""
        names = ("log_normalizer_nats", "log_normalizer_standard_error_nats")
        estimates = [tuple(each[name] for name in names) for each in self._weighted]
        if not estimates:
            return None
        largest = max(value for value, _ in estimates)
        shares = [math.exp(value - largest) for value, _ in estimates]
        error = math.hypot(*(share * relative for share, (_, relative) in zip(shares, estimates))) / sum(shares)
        return largest + math.log(fmean(shares)), error

    @property
    def mean_log_normalizer(self) -> tuple[float, float] | None:
        """E[log Z_hat], nats."""
        names = ("mean_log_normalizer_nats", "mean_log_normalizer_standard_error_nats")
        return (self.mean(names[0]), self.error(names[1])) if self._weighted else None

    def divergence(self, truth: dict) -> tuple[float, float] | None:
        """log Z - E[log Z_hat] >= KL(law of what is drawn || p*), nats, where log Z is known."""
        lower = self.mean_log_normalizer
        if lower is None or self.name.startswith(BIASED) or not known(truth):
            return None
        error = math.hypot(lower[1], truth["log_normalizer_standard_error_nats"])
        return truth["log_normalizer_nats"] - lower[0], error

    @property
    def _weighted(self) -> list[dict]:
        return [each for each in self.seeds.values() if each["log_normalizer_nats"] is not None]


def gather(held: dict) -> list[Row]:
    """All rows, in the order of the results."""
    figures: dict[tuple[str, float], dict[int, dict]] = {}
    for key, entry in held["entries"].items():
        name, alpha, seed = key.split("/")
        figures.setdefault((name, float(alpha)), {})[int(seed)] = entry["figures"]
    return [Row(*key, seeds) for key, seeds in figures.items()]


def at(rows: list[Row], alpha: float) -> list[Row]:
    """The methods at an alpha, without the ablation over M; those that do not read alpha are in each."""
    return [row for row in rows if "M = " not in row.name and (row.alpha == alpha or row.name in NEVER_READ)]


def candidates(rows: list[Row], kind: str) -> dict[int, Row]:
    """The ablation of a kind by M."""
    start = f"{kind}, M = "
    by_size = {int(row.name.removeprefix(start)): row for row in rows if row.name.startswith(start)}
    return dict(sorted(by_size.items()))


def known(truth: dict) -> bool:
    return truth["ess"] >= KNOWN_ESS
