"""The answer in one paragraph."""

import math
from collections.abc import Mapping

from svlearn.advising.break_even import BreakEven
from svlearn.advising.budget import Budget
from svlearn.advising.decision import Decision
from svlearn.advising.foresight import Foresight
from svlearn.advising.pilot import MANY, Pilot
from svlearn.advising.race import Entry, Terms
from svlearn.evaluation.report.numbers import between, plain, with_error


def paragraph(
    decision: Decision,
    terms: Terms,
    baseline: Entry,
    foresights: Mapping[str, Foresight],
    pilot: Pilot,
    budget: Budget,
    untried: bool,
) -> str:
    """What to use, what it gains and costs, why not more if nothing gains, and from how many samples training pays."""
    sentences = [_recommendation(decision, terms, baseline, budget)]
    if decision.winner is None:
        sentences.append(_why(foresights, untried))
    if decision.trained is not None and decision.break_even is not None:
        sentences.append(_training(decision.trained, decision.break_even, terms, budget))
    if pilot.failed > 0:
        most = "most" if pilot.failed >= MANY else f"{100 * pilot.failed:.0f} %"
        sentences.append(
            f"The reward is -inf on {most} of the plain samples ({round(pilot.failed * len(pilot.rewards))} of "
            f"{len(pilot.rewards)}); one such counts as {pilot.failure:.4g}."
        )
    return " ".join(sentences)


def _recommendation(decision: Decision, terms: Terms, baseline: Entry, budget: Budget) -> str:
    number = decision.best_of
    if decision.winner is None:
        what = "plain samples" if number == 1 else f"best of {number}"
        return f"Use {what}: nothing that was tried is known to beat best-of-N at its price here."
    gain = decision.gains[decision.winner.name]
    entry = decision.winner
    price = f"{budget.written(entry.price)} a sample"
    if entry.training > 0:
        price += f" and {budget.written(entry.training)} of training once, over {terms.for_samples} samples"
    return (
        f"Use {entry.name}: at {price} it gains {with_error(gain.value, gain.error, sign=True)} in mean reward "
        f"({between(gain.low, gain.high)} with 90 % confidence) over best-of-N at "
        f"{'the same price' if terms.per_sample is None else 'the price that a sample may have'}, where N is "
        f"{number} and a plain sample is {budget.written(baseline.price)}."
    )


def _why(foresights: Mapping[str, Foresight], untried: bool) -> str:
    blind = {name: each for name, each in foresights.items() if not each.foresees}
    if blind and len(blind) == len(foresights):
        told = "; ".join(each.sentence(name) for name, each in blind.items())
        return f"Nothing foresees the reward before the end: {told}."
    if untried:
        return "Nothing else could be tried, for the reasons that `skipped` gives."
    return "What the values foresee is not worth what looking ahead costs."


def _training(entry: Entry, pays: BreakEven, terms: Terms, budget: Budget) -> str:
    """From how many samples on it pays."""
    name, price = entry.name, budget.written(entry.training)
    if pays.samples is None:
        return f"Training does not pay: {pays.reason} ({name}, trained for {price})."
    high = "no number that can be told" if math.isinf(pays.high) else _count(pays.high)
    most = f"{pays.reason} " if pays.reason else ""
    return (
        f"Training ({price}, for {name}) pays from {most}{_count(pays.samples)} samples on "
        f"({_count(pays.low)} to {high} with 90 % confidence), here for {terms.for_samples}."
    )


def _count(number: float) -> str:
    return plain(math.ceil(number - 1e-9))
