"""One sampler in a comparison: its runs, seed by seed, and what they come to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from svlearn.conditions import labels
from svlearn.evaluation.by_condition import figures_of_all, joined, moved, split
from svlearn.evaluation.curves import curves
from svlearn.evaluation.diagnosis import diagnose
from svlearn.evaluation.findings import GALLERY_SIZE, Gallery
from svlearn.evaluation.judging import Judging, overall_errors, score_figures
from svlearn.evaluation.summary import (
    OWN_FIGURES,
    Floats,
    cost_figures,
    gather_groups,
    group_figures,
    reward_figures,
)
from svlearn.inference.auto_batch import resolved
from svlearn.inference.proposals import Guided
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import Samples
from svlearn.metering import Cost
from svlearn.process import Reference, has
from svlearn.randomness import CPU, device_of, seeded
from svlearn.state import State, repeat

BLOCKS = 2**20  # a stream of randomness that is no chunk's of a rollout store, (seed, chunk)


@dataclass(frozen=True)
class Outcome:
    """What the runs of one sampler come to. notes: the parts of it that were lost, and why. by_condition: the same of
    each condition by its label, where there are several; the rest is then of all together."""

    rewards: Floats
    figures: dict[str, float]
    curves: pd.DataFrame
    diagnosis: list[str] = field(default_factory=list)
    gallery: Gallery | None = None
    notes: tuple[str, ...] = ()
    by_condition: dict[str, "Outcome"] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """What one run of a sampler drew: its samples, of each group one state and its reward (N,), what each judge says
    of these by its name, and of the judges that raised, what."""

    samples: Samples
    states: State
    rewards: Floats
    scores: dict[str, Floats]
    unjudged: dict[str, str]

    def on_cpu(self) -> "Drawn":
        """As another process can take it."""
        return replace(self, samples=moved(self.samples, CPU), states=self.states.to(CPU))


class Runs:
    """The runs of one sampler, a seed at a time; errors: of decode and describe, "keep" as notes or "raise".

    rows: the conditions, if any, each of which every run draws as many samples of. judging: what else is said of what
    was drawn, and raises as decode and describe do.
    """

    def __init__(self, sampler: Sampler, errors: str = "keep", rows: Any = None, judging: Judging | None = None):
        self.sampler, self.errors, self.rows = sampler, errors, rows
        self.judging = Judging() if judging is None else judging
        self.labels = [] if rows is None else labels(rows)
        self.runs: list[Samples] = []
        self._seeds: list[int] = []
        self._rewards: list[Floats] = []
        self._scores: dict[str, list[Floats]] = {name: [] for name in self.judging.judges}
        self._objects: list = []
        self._undecoded: list[str] = []
        self._unjudged: list[str] = []

    def __len__(self) -> int:
        return len(self.runs)

    def draw(
        self, num_samples: int, seed: int, block: int | None = None, *, max_batch: int | str | None, progress: bool
    ) -> Drawn:
        """Samples of a seed by the stream (seed), or one block of them by (seed, BLOCKS, block); nothing is kept of
        them here. What raises in a judge is kept for the notes: the rewards do not need it."""
        reference = self.sampler.reference
        streams = (seed,) if block is None else (seed, BLOCKS, block)
        generator, condition = seeded(device_of(reference), *streams), None
        if self.rows is not None:
            num_samples, condition = num_samples * len(self.labels), repeat(self.rows, num_samples)
        limit = resolved(max_batch, self.sampler, condition)
        drawing: dict[str, Any] = {"condition": condition, "progress": progress, "max_batch": limit}
        samples = self.sampler.sample(num_samples, generator=generator, **drawing)
        states, values = samples.draw_with_rewards(generator=generator)
        scores: dict[str, Floats] = {}
        unjudged: dict[str, str] = {}
        for name in self._scores:
            try:
                scores[name] = self.judging.scores(name, states, reference, limit)
            except Exception as error:
                if self.errors == "raise":
                    raise
                unjudged[name] = as_text(error)
        return Drawn(samples, states, values.double().cpu().numpy(), scores, unjudged)

    def add(self, seed: int, parts: Sequence[Drawn]) -> None:
        """One run more, of one block or several in their order. What raises in `decode` is kept for the notes."""
        reference, number = self.sampler.reference, max(1, len(self.labels))
        samples = joined([part.samples for part in parts], number)
        states = joined([part.states for part in parts], number)
        self.runs.append(samples)
        self._seeds.append(seed)
        self._rewards.append(joined([part.rewards for part in parts], number))
        for name in list(self._scores):
            lost = next((part.unjudged[name] for part in parts if name in part.unjudged), None)
            if lost is None:
                self._scores[name].append(joined([part.scores[name] for part in parts], number))
            else:
                del self._scores[name]
                self._unjudged.append(f"its samples were not judged by {name}: {lost}")
        if has(reference, "decode") and not self._undecoded:
            try:
                self._objects.extend(reference.decode(states.to(device_of(reference))))
            except Exception as error:
                if self.errors == "raise":
                    raise
                self._undecoded.append(f"its samples were not decoded: {as_text(error)}")

    def outcome(self, calibration: pd.DataFrame | None) -> Outcome:
        """The figures of the runs so far, at least one."""
        table, objects, notes = np.stack(self._rewards), self._objects, self._undecoded[:]
        scores = {name: np.stack(each) for name, each in self._scores.items()}
        if not notes and objects and len(objects) != table.size:
            notes.append(f"decode: expected {table.size} objects, got {len(objects)}; they are left out")
        if notes:
            objects = []
        costs = cost_figures(sum((run.cost for run in self.runs), Cost()), table.size)
        whole = self._outcome(self.runs, table, scores, objects, costs, calibration, self._seeds)
        if len(self.labels) > 1:
            parts = self._by_condition(table, scores, objects, costs, calibration, overall=set(whole.diagnosis))
            each = [part.figures for part in parts.values()]
            of_all = figures_of_all(table, each, np.random.default_rng(self._seeds))
            of_all |= overall_errors(list(scores), each)
            whole = replace(whole, figures=whole.figures | of_all, by_condition=parts)
        return replace(whole, notes=(*notes, *self._unjudged, *whole.notes))

    def _by_condition(
        self,
        table: Floats,
        scores: dict[str, Floats],
        objects: list,
        costs: dict[str, float],
        calibration: pd.DataFrame | None,
        overall: set[str],
    ) -> dict[str, Outcome]:
        """Each condition on its own; a sample of any costs the same, for they are drawn in one run. overall: what
        its diagnosis need not repeat."""
        number, outcomes = len(self.labels), {}
        runs = list(zip(*(split(run, number) for run in self.runs), strict=True))
        shape = (len(table), number, -1)
        rewards, places = table.reshape(shape), np.arange(table.size).reshape(shape)
        for place, label in enumerate(self.labels):
            own = [objects[i] for i in places[:, place].ravel()] if objects else []
            seeds = [*self._seeds, place]
            judged = {name: each.reshape(shape)[:, place] for name, each in scores.items()}
            part = self._outcome(list(runs[place]), rewards[:, place], judged, own, costs, calibration, seeds)
            outcomes[label] = replace(part, diagnosis=[each for each in part.diagnosis if each not in overall])
        return outcomes

    def _outcome(
        self,
        runs: list[Samples],
        table: Floats,
        scores: dict[str, Floats],
        objects: list,
        costs: dict[str, float],
        calibration: pd.DataFrame | None,
        seeds: list[int],
    ) -> Outcome:
        """Of runs with the rewards and scores (S, N) and, in their order, the objects of what was drawn from them."""
        reference, rng, rewards = self.sampler.reference, np.random.default_rng(seeds), table.ravel()
        figures, notes = {**reward_figures(table, rng), **group_figures(gather_groups(runs))}, []
        for name, each in scores.items():
            figures |= score_figures(name, each.ravel())
        taken = {*OWN_FIGURES, "failure", *figures, *self.judging.metrics}
        for name, measure in self._measures(objects, taken).items():
            try:
                figures |= measure()
            except Exception as error:
                if self.errors == "raise":
                    raise
                notes.append(f"its samples were not {name}: {as_text(error)}")
        figures |= {**costs, "num_samples": table.size, "num_seeds": len(table)}
        guided = isinstance(self.sampler.proposal, Guided)
        return Outcome(
            rewards,
            figures,
            curves(runs),
            diagnose(runs, calibration=calibration, guided=guided),
            _gallery(objects, rewards, reference, rng),
            tuple(notes),
        )

    def _measures(self, objects: list, taken: set[str]) -> dict[str, Callable[[], dict[str, float]]]:
        """What is asked of decoded samples together, by what it does to them."""
        measures = {f"measured by {name}": partial(self._measured, name, objects) for name in self.judging.metrics}
        described = partial(_described, self.sampler.reference, objects, taken)
        return {"described": described, **measures} if objects else {}

    def _measured(self, name: str, objects: list) -> dict[str, float]:
        return {name: self.judging.measured(name, objects)}


def as_text(error: BaseException) -> str:
    """An exception in one line, its type first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _described(reference: Reference, objects: list, taken: set[str]) -> dict[str, float]:
    figures = {str(name): float(figure) for name, figure in reference.describe(objects).items()}
    for name in figures.keys() & taken:
        raise ValueError(f"describe: expected names of its own, got {name!r}, which a comparison gives already")
    return figures


def _gallery(objects: list, rewards: Floats, reference: Reference, rng: np.random.Generator) -> Gallery | None:
    """None where there is nothing to show: samples that the reference does not draw, and that are no text."""
    texts = all(isinstance(each, str) for each in objects)
    if not objects or not (has(reference, "draw") or has(reference, "overview") or texts):
        return None
    best = np.argsort(-rewards, kind="stable")[:GALLERY_SIZE]
    some = rng.choice(len(objects), size=min(GALLERY_SIZE, len(objects)), replace=False)
    picked = [[(objects[i], float(rewards[i])) for i in rows] for rows in (best, some)]
    draw: Callable | None = reference.draw if has(reference, "draw") else None
    overview = partial(reference.overview, objects) if has(reference, "overview") else None
    return Gallery(picked[0], picked[1], draw, overview)
