"""What the final draws decide: the sampler to recommend, the front, and from how many samples on training pays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from svlearn.advising.break_even import BreakEven, break_even
from svlearn.advising.estimates import CONFIDENCE, Baseline, Estimate, drawn
from svlearn.advising.race import Entry, Terms
from svlearn.evaluation.divergence import best_of_kl
from svlearn.metering import KINDS

NUMBERS = (1, 2, 4, 8, 16, 32, 64)  # of the best of n, that the front shows


@dataclass(frozen=True)
class Decision:
    """winner: the finalist that gains over best-of-N, None where none is known to; gains: of each finalist by name;
    best_of: the N of the best-of-N that the winner is held against, or that is recommended."""

    winner: Entry | None
    gains: dict[str, Estimate]
    best_of: int
    break_even: BreakEven | None
    trained: Entry | None


def decide(finalists: Sequence[Entry], plain: Entry, terms: Terms, limit: float) -> Decision:
    """The first of the finalists, in the order in which the race has left them, whose gain on these fresh draws is
    above 0.

    All are tested, each at its part of the risk 1 - `CONFIDENCE` of two sides, so that where none gains anything one is
    recommended at most so often; no figure decides which is tested first. limit: the most that a sample may cost.
    """
    final = replace(terms, baseline=Baseline(plain.scores(terms.failure), plain.price, terms.baseline.turn))
    gains = {entry.name: final.gain(entry) for entry in finalists}
    risk = (1 - CONFIDENCE) / 2 / max(1, len(finalists))
    most = math.inf if terms.per_sample is None else terms.per_sample * (1 + 1e-9)
    able = [entry for entry in finalists if entry.price <= most]
    winner = next((entry for entry in able if gains[entry.name].lower_bound(risk) > 0), None)
    price = limit if winner is None or terms.per_sample is not None else final.price(winner)
    trained = next((each for each in (winner, *finalists) if each is not None and each.candidate.trained), None)
    pays: BreakEven | None = None
    if trained is not None:
        others = [(each.scores(terms.failure), each.price) for each in finalists if each.candidate.trained is None]
        pays = break_even(trained.scores(terms.failure), trained.price, trained.training, final.baseline, others)
    return Decision(winner, gains, max(1, int(price / plain.price)), pays, trained)


def front(
    finalists: Sequence[Entry], behind: Sequence[Entry], plain: Entry, terms: Terms, decision: Decision, limit: float
) -> pd.DataFrame:
    """A row for each sampler, and for the best of n plain samples: see `Advice.front`."""
    baseline = Baseline(plain.scores(terms.failure), plain.price, terms.baseline.turn)
    rows: dict[str, dict[str, Any]] = {}
    most = min(baseline.most, max(limit / plain.price, decision.best_of))
    for number in sorted({each for each in (*NUMBERS, decision.best_of) if each <= most}):
        value, error, _ = baseline.at(number * plain.price)
        name = "plain samples" if number == 1 else f"best of {number}"
        calls = _calls(plain)
        rows[name] = {
            "reward": value,
            "standard_error": error,
            "price": number * plain.price,
            "training_price": 0.0,
            "gain": 0.0,
            "stage": "final",
            "num_samples": len(baseline.rewards),
            "kl_to_reference_nats": best_of_kl([number]),
            **{key: number * each for key, each in calls.items()},
        }
        if number == 1:
            rows[name] |= {**plain.draws.figures, "kl_to_reference_nats": 0.0} if plain.draws is not None else {}
    for stage, entries in (("final", finalists), ("race", behind)):
        for entry in entries:
            rows[entry.name] = _row(entry, stage, terms, decision)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "sampler"
    table["pareto"] = _pareto(table, terms.for_samples)
    return table


def _row(entry: Entry, stage: str, terms: Terms, decision: Decision) -> dict[str, Any]:
    value, error, number = drawn(entry.scores(terms.failure), terms.baseline.turn)
    row = {
        "reward": value,
        "standard_error": error,
        "price": entry.price,
        "training_price": entry.training,
        "stage": stage,
        "num_samples": int(number),
        **_calls(entry),
    }
    gain = decision.gains.get(entry.name)
    if gain is not None and stage == "final":
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
    return row | ({} if entry.draws is None else dict(entry.draws.figures))


def _calls(entry: Entry) -> dict[str, float]:
    """Calls and seconds a sample."""
    if entry.draws is None:
        return {}
    number = len(entry.draws.rewards)
    calls = {f"{kind}_per_sample": getattr(entry.draws.cost, kind) / number for kind in KINDS}
    return {**calls, "seconds_per_sample": entry.draws.cost.seconds / number}


def _pareto(table: pd.DataFrame, for_samples: int) -> list[bool]:
    """Whether no other final row has at least the reward at a lower price, or more at no higher one."""
    prices = (table["price"] + table["training_price"] / for_samples).tolist()
    rewards, stages = table["reward"].tolist(), table["stage"].tolist()
    rows = list(zip(prices, rewards, stages, strict=True))

    def beaten(price: float, reward: float) -> bool:
        return any(
            stage == "final" and cost <= price and other >= reward and (cost < price or other > reward)
            for cost, other, stage in rows
        )

    return [stage == "final" and not beaten(price, reward) for price, reward, stage in rows]
