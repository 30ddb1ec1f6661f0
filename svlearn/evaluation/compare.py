"""Samplers side by side: what reward each reaches, and at which cost."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from svlearn.arguments import as_seed, integer, one_or_each
from svlearn.evaluation.comparison import Comparison
from svlearn.evaluation.curves import curves
from svlearn.evaluation.diagnosis import diagnose
from svlearn.evaluation.findings import Gallery
from svlearn.evaluation.report.provenance import provenance
from svlearn.evaluation.summary import (
    OWN_FIGURES,
    Floats,
    cost_figures,
    gather_groups,
    group_figures,
    reward_figures,
)
from svlearn.inference.sampler import Sampler
from svlearn.metering import Cost
from svlearn.modes import in_evaluation
from svlearn.process import Reference, has
from svlearn.randomness import device_of, seeded
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

GALLERY_SIZE = 8


@in_evaluation
def compare(
    samplers: dict[str, Sampler],
    num_samples: int,
    *,
    seed: int | Sequence[int] = 0,
    max_batch: int | None = None,
    progress: bool = False,
    calibrations: dict[str, pd.DataFrame] | None = None,
) -> Comparison:
    """Draw `num_samples` with every sampler, once per seed, and compare rewards and costs.

    A group of particles (smc, beam_search) counts as one sample, drawn by its weights; calls and seconds are per such
    sample. A reward that caches has it emptied before each run (its method `forget()`), so that seconds are fair.
    calibrations: tables of `calibrate` by name, for the report; one that has a sampler's name also tells `diagnose` of
    that sampler's value. max_batch, progress: as for `Sampler.sample`.

    Raises ValueError for no samplers, num_samples < 1, no or repeated seeds, a sampler without a target, a figure of
    `describe` that has the name of another; TypeError for what is not a `Sampler`. Samplers may differ in reward (a
    UserWarning and a note say so), alpha or reference (a note).
    """
    num_samples = integer(num_samples, "num_samples")
    seeds = _check(samplers, seed)
    calibrations = {} if calibrations is None else calibrations
    for name, frame in calibrations.items():
        missing = [column for column in ("t", "pearson", "r2", "spread") if column not in frame.columns]
        if missing:
            raise ValueError(f"calibrations[{name!r}]: expected a table of calibrate, got no {', '.join(missing)}")
    notes = _notes(samplers)
    rewards, figures, by_time, diagnoses, galleries = {}, {}, {}, {}, {}
    for name, sampler in samplers.items():
        runs, drawn, objects = [], [], []
        for each in seeds:
            _forget(sampler)
            generator = seeded(device_of(sampler.reference), each)
            samples = sampler.sample(num_samples, generator=generator, progress=progress, max_batch=max_batch)
            states, values = samples.draw_with_rewards(generator=generator)
            runs.append(samples)
            drawn.append(values.double().cpu().numpy())
            if has(sampler.reference, "decode"):
                objects.extend(sampler.reference.decode(states))
        rng = np.random.default_rng(seeds)
        table, by_time[name] = np.stack(drawn), curves(runs)
        rewards[name] = table.ravel()
        figures[name] = {
            **reward_figures(table, rng),
            **group_figures(gather_groups(runs)),
            **_described(sampler.reference, objects),
            **cost_figures(sum((run.cost for run in runs), Cost()), table.size),
            "num_samples": table.size,
            "num_seeds": len(seeds),
        }
        said = diagnose(runs, calibration=calibrations.get(name))
        if said:
            diagnoses[name] = said
        if objects and has(sampler.reference, "draw"):
            galleries[name] = _gallery(objects, rewards[name], sampler.reference.draw, rng)
    origin = {**provenance(), "seeds": list(seeds), "num_samples": num_samples, "max_batch": max_batch}
    pairs = _pairs(samplers)
    return Comparison(rewards, figures, pairs, by_time, diagnoses, calibrations, galleries, notes, origin)


def _check(samplers: dict[str, Sampler], seed: int | Sequence[int]) -> tuple[int, ...]:
    if not samplers:
        raise ValueError("samplers: expected at least one, got an empty dict")
    for name, sampler in samplers.items():
        if not isinstance(sampler, Sampler):
            raise TypeError(f"samplers[{name!r}]: expected a Sampler, got {type(sampler).__name__}")
        _target(sampler, name)
    seeds = tuple(as_seed(each) for each in one_or_each(seed, 1))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seed: expected one integer, or several that differ, got {seed!r}")
    return seeds


def _target(sampler: Sampler, name: str = "") -> Target:
    if sampler.target is None:
        raise ValueError(f"samplers[{name!r}]: expected one with a target, whose reward is compared, got None")
    return sampler.target


def _forget(sampler: Sampler) -> None:
    """Empty the reward's cache, if it has one."""
    forget = getattr(_target(sampler).reward, "forget", None)
    if callable(forget):
        forget()


def _notes(samplers: dict[str, Sampler]) -> tuple[str, ...]:
    """What differs between the samplers besides the sampler."""
    targets = [_target(sampler) for sampler in samplers.values()]
    references = [sampler.reference for sampler in samplers.values()]
    notes = []
    if any(target.reward != targets[0].reward for target in targets):
        notes.append("The samplers have different reward objects: their rewards may not mean the same.")
        warnings.warn(notes[-1], stacklevel=4)
    if any(target.alpha != targets[0].alpha for target in targets):
        notes.append("The samplers have different temperatures alpha: they aim at different laws.")
    if any(reference is not references[0] for reference in references):
        notes.append("The samplers run different references: their reference calls may not cost the same.")
    return tuple(notes)


def _pairs(samplers: dict[str, Sampler]) -> tuple[tuple[str, str], ...]:
    """Learned values against the training-free one: the question a comparison is for."""
    learned = [name for name, sampler in samplers.items() if isinstance(sampler.value, Learned)]
    free = [name for name, sampler in samplers.items() if isinstance(sampler.value, PosteriorMean)]
    return tuple((one, other) for one in learned for other in free)


def _described(reference: Reference, objects: list) -> dict[str, float]:
    figures = {name: float(figure) for name, figure in reference.describe(objects).items()} if objects else {}
    for name in figures.keys() & OWN_FIGURES:
        raise ValueError(f"describe: expected names of its own, got {name!r}, which a comparison gives already")
    return figures


def _gallery(objects: list, rewards: Floats, draw: Callable, rng: np.random.Generator) -> Gallery:
    best = np.argsort(-rewards, kind="stable")[:GALLERY_SIZE]
    some = rng.choice(len(objects), size=min(GALLERY_SIZE, len(objects)), replace=False)
    picked = [[(objects[i], float(rewards[i])) for i in rows] for rows in (best, some)]
    return Gallery(picked[0], picked[1], draw)
