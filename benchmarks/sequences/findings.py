"""What the batches of the study of sequences say together, row by row, and what came out of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from benchmarks.common.estimates import Estimate, apart, gap
from benchmarks.sequences.authors import QUANTILES
from benchmarks.sequences.batches import SEED
from benchmarks.sequences.rows import AUTHORS, BALANCE, BEST, MC, PM, PPO, PRETRAINED, ROWS, SMC, TWIST, N
from svlearn.evaluation.report.numbers import plain, with_error

RESAMPLES = 400  # of the bootstrap
LEARNED, FREE, GRADIENT = "trained", "training-free", "gradient of the reward"
KINDS = dict.fromkeys((MC, TWIST, AUTHORS, PPO, BALANCE), LEARNED)
KINDS |= dict.fromkeys((PRETRAINED, BEST, PM, SMC), FREE)
COSTS = {"process_calls": "calls of the reference or the policy", "cpu_seconds": "seconds"}


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
    def label(self) -> str:
        """Its name, with the strength that was chosen for it."""
        return f"{self.name}, strength {self.batches[0]['strength']:g}" if "strength" in self.batches[0] else self.name

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

    def spent(self, kind: str) -> float:
        """As `cost`; process_calls: those of the reference, and of a policy in its place."""
        kinds = ("reference_calls", "policy_calls") if kind == "process_calls" else (kind,)
        return sum(self.cost(each) for each in kinds)


def gather(held: dict, problem: str) -> dict[str, Drawn]:
    """The rows of a problem that are there, in the order of the study."""
    rows: dict[str, list[dict]] = {}
    for name in ROWS:
        start = f"{problem}/{name}/{SEED}/"
        own = [each for place, each in held["batches"].items() if place.startswith(start)]
        if own:
            rows[name] = own
    return {name: Drawn(name, own) for name, own in rows.items()}


def on_line(name: str) -> str | None:
    """The sampler whose M a row varies; None for the others."""
    kind = name.partition(", M = ")[0]
    return kind if kind in (MC, PM) else None


def number_of(row: Drawn) -> int:
    """M."""
    found = re.search(r", M = (\d+)$", row.name)
    return N if found is None else int(found[1])


def kind_of(name: str) -> str:
    """Whether a row needs training, or nothing, or a gradient of the reward."""
    return KINDS.get(on_line(name) or name, GRADIENT)


def frontier(rows: Iterable[Drawn], kind: str) -> list[Drawn]:
    """Those that none of as small a cost is above, the cheapest first."""
    best: list[Drawn] = []
    for row in sorted(rows, key=lambda each: (each.spent(kind), -each.mean[0])):
        if not best or row.mean[0] > best[-1].mean[0]:
            best.append(row)
    return best


def findings(
    rows: dict[str, Drawn], judged: dict[str, dict], training: dict[str, dict], authors: dict[str, dict]
) -> list[str]:
    """Sentences on the rows of a problem; judged: the figures of `judged` by row, training: what values took; authors:
    the quantiles of their own samples by row."""
    lines = [at_cost(rows, kind) for kind in COSTS if len(rows) > 2]
    if {PM, MC} <= rows.keys():
        lines += [*learned_against_free(rows, training), *by_quantile(rows, authors)]
    lines += [*how_trained(rows), *judges(rows, judged)]
    return [f"- {line}" for line in lines]


def at_cost(rows: dict[str, Drawn], kind: str) -> str:
    """Which row wins at which cost."""
    steps = [
        f"{row.label} ({kind_of(row.name)}) at {plain(row.spent(kind), 3)}: {with_error(*row.mean)}"
        for row in frontier(rows.values(), kind)
    ]
    return f"**By {COSTS[kind]}**, the largest mean reward that as few can buy: {'; '.join(steps)}."


def learned_against_free(rows: dict[str, Drawn], training: dict[str, dict]) -> list[str]:
    """SVDD-MC against SVDD-PM at M = 10, and at costs as near as the sweeps have them."""
    learned, free = rows[MC], rows[PM]
    lines = [
        f"**At M = 10** SVDD-PM gets {with_error(*free.mean)} by {plain(free.spent('process_calls'), 3)} calls of the "
        f"reference and {plain(free.cost('reward_calls'), 3)} of the reward, SVDD-MC {with_error(*learned.mean)} by "
        f"{plain(learned.spent('process_calls'), 3)} and {plain(learned.cost('reward_calls'), 3)}; "
        f"{compared(free, learned)}."
    ]
    own, others = ([row for row in rows.values() if on_line(row.name) == kind] for kind in (MC, PM))
    few = min(others, key=lambda row: row.spent("process_calls"))
    most = max(own, key=lambda row: row.mean[0])
    if few is not free:
        lines.append(
            f"**Few calls**: the best of SVDD-MC, {most.name} at {plain(most.spent('process_calls'), 3)} calls, "
            f"against the cheapest of SVDD-PM, {few.name} at {plain(few.spent('process_calls'), 3)}: "
            f"{compared(most, few)}."
        )
    seconds = training.get("monte_carlo", {}).get("cpu_seconds")
    saved = free.cost("cpu_seconds") - learned.cost("cpu_seconds")
    if seconds is not None and saved > 0:
        lines.append(
            f"**Seconds**: SVDD-MC takes {plain(learned.cost('cpu_seconds'), 2)} a sequence and SVDD-PM "
            f"{plain(free.cost('cpu_seconds'), 2)}; the {plain(seconds, 2)} of training are back after "
            f"{plain(round(seconds / saved))} sequences, those of its trajectories apart."
        )
    return lines


def by_quantile(rows: dict[str, Drawn], authors: dict[str, dict]) -> list[str]:
    """Where each of the two is ahead, here and in the authors' logs."""
    parts = [
        f"at {share:.0%} {with_error(*one)} against {with_error(*other)}"
        for share, one, other in zip(QUANTILES, rows[MC].quantiles, rows[PM].quantiles)
    ]
    text = f"**Quantiles** of SVDD-MC against SVDD-PM: {', '.join(parts)}"
    if {MC, PM} <= authors.keys():
        pairs = zip(QUANTILES, authors[MC]["quantiles"], authors[PM]["quantiles"])
        logged = [f"at {share:.0%} {one:.2f} against {other:.2f}" for share, one, other in pairs]
        text += f"; in the authors' logs {', '.join(logged)}"
    return [f"{text}."]


def how_trained(rows: dict[str, Drawn]) -> list[str]:
    """The other values against ours."""
    names = [name for name in (AUTHORS, TWIST) if name in rows]
    if MC not in rows or not names:
        return []
    return [f"**Values**: against SVDD-MC, {'; '.join(f'{name}: {compared(rows[name], rows[MC])}' for name in names)}."]


def judges(rows: dict[str, Drawn], judged: dict[str, dict]) -> list[str]:
    """What judges say of the row of the largest mean reward, and how they go with the reward over all rows."""
    if PRETRAINED not in rows or PRETRAINED not in judged:
        return []
    known = {name: row for name, row in rows.items() if name in judged}
    top = max(known.values(), key=lambda row: row.mean[0])
    lines = []
    for judge, start in judged[PRETRAINED]["judges"].items():
        pairs = [(row.mean[0], judged[name]["judges"][judge][0]) for name, row in known.items()]
        text = (
            f"**The judge, {judge}**: {with_error(*start)} of the pretrained sequences, "
            f"{with_error(*judged[top.name]['judges'][judge])} of those of {top.label}, whose reward is the largest"
        )
        if len(pairs) > 2:
            text += f"; over the {len(pairs)} rows the mean reward and the judge's mean correlate at r = "
            text += f"{np.corrcoef(np.array(pairs).T)[0, 1]:.2f}"
        best = max(known, key=lambda name: judged[name]["judges"][judge][0])
        lines.append(f"{text}. The judge's largest mean is {with_error(*judged[best]['judges'][judge])}, of {best}.")
    bits = [with_error(*judged[name]["bits"]) for name in (PRETRAINED, top.name)]
    return [*lines, f"**Likelihood**: at most {bits[0]} bits a letter, pretrained, and {bits[1]}, {top.label}."]


def compared(one: Drawn, other: Drawn) -> str:
    """The difference of mean rewards, and whether it is one."""
    text = f"the difference is {with_error(*gap(one.mean, other.mean), sign=True)}"
    return text if apart(one.mean, other.mean) else f"{text}, not told apart at 95 %"
