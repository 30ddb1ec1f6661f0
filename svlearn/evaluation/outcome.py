"""One sampler in a comparison: its runs, seed by seed, and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from svlearn.evaluation.curves import curves
from svlearn.evaluation.diagnosis import diagnose
from svlearn.evaluation.findings import Gallery
from svlearn.evaluation.summary import (
    OWN_FIGURES,
    Floats,
    cost_figures,
    gather_groups,
    group_figures,
    reward_figures,
)
from svlearn.inference.proposals import Guided
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import Samples
from svlearn.metering import Cost
from svlearn.process import Reference, has
from svlearn.randomness import device_of, seeded

GALLERY_SIZE = 8


@dataclass(frozen=True)
class Outcome:
    """What the runs of one sampler come to. notes: the parts of it that were lost, and why."""

    rewards: Floats
    figures: dict[str, float]
    curves: pd.DataFrame
    diagnosis: list[str] = field(default_factory=list)
    gallery: Gallery | None = None
    notes: tuple[str, ...] = ()


class Runs:
    """The runs of one sampler, a seed at a time; errors: of decode and describe, "keep" as notes or "raise"."""

    def __init__(self, sampler: Sampler, errors: str = "keep"):
        self.sampler, self.errors = sampler, errors
        self.runs: list[Samples] = []
        self._seeds: list[int] = []
        self._rewards: list[Floats] = []
        self._objects: list = []
        self._lost: list[str] = []

    def __len__(self) -> int:
        return len(self.runs)

    def draw(self, num_samples: int, seed: int, *, max_batch: int | None, progress: bool) -> None:
        """One run more. What raises in `decode` is kept for the notes: the rewards do not need it."""
        reference = self.sampler.reference
        generator = seeded(device_of(reference), seed)
        samples = self.sampler.sample(num_samples, generator=generator, progress=progress, max_batch=max_batch)
        states, values = samples.draw_with_rewards(generator=generator)
        self.runs.append(samples)
        self._seeds.append(seed)
        self._rewards.append(values.double().cpu().numpy())
        if has(reference, "decode") and not self._lost:
            try:
                self._objects.extend(reference.decode(states))
            except Exception as error:
                if self.errors == "raise":
                    raise
                self._lost.append(f"its samples were not decoded: {as_text(error)}")

    def outcome(self, calibration: pd.DataFrame | None) -> Outcome:
        """The figures of the runs so far, at least one."""
        reference, rng = self.sampler.reference, np.random.default_rng(self._seeds)
        table, objects, notes = np.stack(self._rewards), self._objects, self._lost[:]
        rewards = table.ravel()
        if not notes and objects and len(objects) != len(rewards):
            notes.append(f"decode: expected {len(rewards)} objects, got {len(objects)}; they are left out")
        if notes:
            objects = []
        figures = {**reward_figures(table, rng), **group_figures(gather_groups(self.runs))}
        try:
            figures |= _described(reference, objects)
        except Exception as error:
            if self.errors == "raise":
                raise
            notes.append(f"its samples were not described: {as_text(error)}")
        figures |= {
            **cost_figures(sum((run.cost for run in self.runs), Cost()), table.size),
            "num_samples": table.size,
            "num_seeds": len(table),
        }
        guided = isinstance(self.sampler.proposal, Guided)
        return Outcome(
            rewards,
            figures,
            curves(self.runs),
            diagnose(self.runs, calibration=calibration, guided=guided),
            _gallery(objects, rewards, reference, rng),
            tuple(notes),
        )


def as_text(error: BaseException) -> str:
    """An exception in one line, its type first."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def _described(reference: Reference, objects: list) -> dict[str, float]:
    figures = {str(name): float(figure) for name, figure in reference.describe(objects).items()} if objects else {}
    for name in figures.keys() & {*OWN_FIGURES, "failure"}:
        raise ValueError(f"describe: expected names of its own, got {name!r}, which a comparison gives already")
    return figures


def _gallery(objects: list, rewards: Floats, reference: Reference, rng: np.random.Generator) -> Gallery | None:
    """None where there is nothing to show: samples that the reference does not draw, and that are no text."""
    texts = all(isinstance(each, str) for each in objects)
    if not objects or not (has(reference, "draw") or texts):
        return None
    best = np.argsort(-rewards, kind="stable")[:GALLERY_SIZE]
    some = rng.choice(len(objects), size=min(GALLERY_SIZE, len(objects)), replace=False)
    picked = [[(objects[i], float(rewards[i])) for i in rows] for rows in (best, some)]
    draw: Callable | None = reference.draw if has(reference, "draw") else None
    return Gallery(picked[0], picked[1], draw)
