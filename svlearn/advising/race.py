"""Successive halving: every sampler has a few samples, the better half of them more, and so on."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from svlearn.advising.account import Account, Record
from svlearn.advising.candidates import Candidate
from svlearn.advising.draws import Drawing, Draws, scored
from svlearn.advising.estimates import Baseline, Estimate
from svlearn.evaluation.outcome import as_text
from svlearn.evaluation.summary import Floats

RACE, FINAL = 5, 6  # streams of randomness
FEWEST, MOST = 8, 512  # samples of one sampler in a round
FINALISTS = 3
CHUNK = 512  # samples that are drawn at a time


@dataclass(frozen=True, eq=False)
class Entry:
    """A sampler in the race: what was drawn of it so far, the price of a sample, as estimated before the first, and
    what its training cost, 0 of one that needed none."""

    candidate: Candidate
    price: float
    training: float = 0.0
    draws: Draws | None = None

    @property
    def name(self) -> str:
        return self.candidate.name

    def scores(self, failure: float) -> Floats:
        return np.zeros(0) if self.draws is None else scored(self.draws.rewards, failure)


@dataclass(frozen=True)
class Terms:
    """What samplers are compared at: the best of N plain samples at the price of one of theirs, with its share of the
    training; or, where `per_sample` says what a sample may cost, at that.

    baseline: plain samples that no sampler's draws are among; failure: what r = -inf counts as; for_samples: over how
    many samples training is shared out.
    """

    baseline: Baseline
    failure: float
    for_samples: int
    per_sample: float | None = None

    def price(self, entry: Entry) -> float:
        """Of one sample, with its share of the training."""
        return entry.price + entry.training / self.for_samples

    def gain(self, entry: Entry) -> Estimate:
        at = self.price(entry) if self.per_sample is None else max(self.per_sample, self.price(entry))
        return self.baseline.gain(entry.scores(self.failure), at)


def race(
    entries: Sequence[Entry], terms: Terms, drawing: Drawing, account: Account, record: Record, spend: float
) -> tuple[list[Entry], list[Entry], dict[str, str]]:
    """The finalists, the best first; those that were left behind; and why others were not run, by name.

    In round k all that are left draw from the stream (seed, RACE, k): the same seeds for each, and other samples than
    in any other round. Kept are the better half by gain, on all that was drawn of them, and the best with and without
    training. spend: the budget of all rounds, each of which has the same part of it.
    """
    skipped: dict[str, str] = {}
    at_one_price = terms.per_sample is not None
    left = _affordable(entries, drawing.whole(FEWEST), spend, at_one_price, skipped)
    most = account.price + spend
    rounds = max(1, math.ceil(math.log2(max(1, len(left)) / FINALISTS)) + 1) if left else 0
    behind: list[Entry] = []
    for number in range(rounds):
        share = spend / rounds / max(1e-300, sum(entry.price for entry in left))
        size = drawing.whole(int(min(MOST, max(FEWEST, share))))
        size = record.finish(f"race/{number}", partial(dict, size=size))["size"]
        drawn, jobs = [], _jobs(dict.fromkeys(left, size), (RACE, number), drawing, record)
        for entry in left:
            if account.price > most:  # by the clock, that was estimated before the first samples
                skipped.setdefault(entry.name, "no time was left for it in the race")
            else:
                drawn.append(_drawn(entry, size, (RACE, number), jobs, account, record, skipped))
        run = [each for each in drawn if each is not None]
        run += [entry for entry in left if entry.draws is not None and entry.name not in {each.name for each in run}]
        ranked = sorted(run, key=lambda entry: terms.gain(entry).value, reverse=True)
        left = _kept(ranked, last=number == rounds - 1)
        behind += [entry for entry in ranked if entry not in left]
        if not left:
            break
    return left, behind, skipped


def final(
    finalists: Sequence[Entry],
    plain: Entry,
    drawing: Drawing,
    account: Account,
    record: Record,
    most: tuple[int, int],
) -> tuple[list[Entry], Entry, dict[str, str]]:
    """All anew, from streams that nobody has looked at: half of what is left of the budget for plain samples, the
    other half for the finalists, each the same part; and why one of these is not among them, by name. most: samples of
    each of these, and plain ones."""
    left = account.left
    parts = left / 2 / max(1, len(finalists))
    sizes = {plain.name: _size(left / 2 if finalists else left, plain.price, most[1])}
    sizes |= {entry.name: _size(parts, entry.price, most[0]) for entry in finalists}
    sizes = {name: drawing.whole(size) for name, size in sizes.items()}
    sizes = record.finish("final/sizes", lambda: {"sizes": sizes})["sizes"]
    lost: dict[str, str] = {}
    anew = [replace(entry, draws=None) for entry in (plain, *finalists)]
    jobs = _jobs({entry: sizes[entry.name] for entry in anew}, (FINAL,), drawing, record)
    drawn = [_drawn(entry, sizes[entry.name], (FINAL,), jobs, account, record, lost) for entry in anew]
    if drawn[0] is None:
        raise RuntimeError(f"plain samples failed: {lost[plain.name]}")
    return [each for each in drawn[1:] if each is not None], drawn[0], lost


def _size(budget: float, price: float, most: int) -> int:
    return int(min(most, max(FEWEST, budget / price)))


def _affordable(
    entries: Sequence[Entry], fewest: int, spend: float, at_one_price: bool, skipped: dict[str, str]
) -> list[Entry]:
    """Those of which a first round of the fewest samples fits the budget together, the cheapest first; the dearest
    first where all are compared at one price, of which a cheap one makes little use."""
    left, needed = [], 0.0
    for entry in sorted(entries, key=lambda each: each.price, reverse=at_one_price):
        if needed + fewest * entry.price <= spend:
            needed += fewest * entry.price
            left.append(entry)
        else:
            skipped[entry.name] = f"no room in the budget for {fewest} samples"
    return left


def _kept(ranked: Sequence[Entry], last: bool) -> list[Entry]:
    number = FINALISTS if last else max(FINALISTS, math.ceil(len(ranked) / 2))
    chosen = list(ranked[:number])
    for wanted in (True, False):  # the question is whether training is worth it
        kind = [entry for entry in ranked if (entry.candidate.trained is not None) is wanted]
        if kind and kind[0] not in chosen:
            chosen = [*chosen, kind[0]]
    return chosen


def _chunks(entry: Entry, number: int, stream: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """The parts that make up so many samples of an entry: which chunk, its first sample and its size."""
    chunks = enumerate(range(0, number, CHUNK))
    return {
        "/".join(map(str, (*stream, entry.name, chunk))): (chunk, start, min(CHUNK, number - start))
        for chunk, start in chunks
    }


def _jobs(
    numbers: Mapping[Entry, int], stream: tuple[int, ...], drawing: Drawing, record: Record
) -> dict[str, Callable[[], dict]]:
    """What draws each part of so many samples of each entry, by the part's name; of several processes it is done."""
    jobs = {}
    for entry, number in numbers.items():
        for name, (chunk, start, size) in _chunks(entry, number, stream).items():
            jobs[name] = _drawing(drawing, entry, size, start, (*stream, chunk))
    return record.ahead(jobs)


def _drawn(
    entry: Entry,
    number: int,
    stream: tuple[int, ...],
    jobs: Mapping[str, Callable[[], dict]],
    account: Account,
    record: Record,
    lost: dict[str, str],
) -> Entry | None:
    """The entry with so many draws more, at its measured price; None, and why, where its sampler raises."""
    draws = entry.draws
    account.say(f"{entry.name}: {number} samples")
    for name in _chunks(entry, number, stream):
        try:
            part = record.finish(name, jobs[name])
        except Exception as error:  # whatever a user's value, policy or reward may raise: the others go on
            lost[entry.name] = as_text(error)
            return None
        more = Draws.of_part(part)
        draws = more if draws is None else Draws.cat(draws, more)
    if draws is None:
        return entry
    return replace(entry, draws=draws, price=account.prices.price(draws.cost) / len(draws.rewards))


def _drawing(drawing: Drawing, entry: Entry, size: int, first: int, stream: tuple[int, ...]) -> Callable[[], dict]:
    return lambda: drawing.draw(entry.candidate.sampler, size, *stream, first=first).as_part()
