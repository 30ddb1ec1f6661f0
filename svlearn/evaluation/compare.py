"""Samplers side by side: what reward each reaches, and at which cost."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from svlearn import process_group
from svlearn.arguments import as_seed, expect, integer, is_number
from svlearn.conditions import as_rows, labels
from svlearn.evaluation.agreement import disagreements
from svlearn.evaluation.comparison import Comparison
from svlearn.evaluation.findings import Findings
from svlearn.evaluation.identified import identified
from svlearn.evaluation.judging import Judging
from svlearn.evaluation.outcome import Outcome, Runs, as_text
from svlearn.evaluation.partial import Partial
from svlearn.evaluation.report.provenance import provenance
from svlearn.evaluation.units import outcomes_of, units_of
from svlearn.identity import identity
from svlearn.inference.auto_batch import checked_max_batch
from svlearn.inference.sampler import Sampler
from svlearn.modes import in_evaluation
from svlearn.state import number_of_rows, take
from svlearn.targets import Target
from svlearn.testing import check_presentation
from svlearn.values import Learned, PosteriorMean

ERRORS = ("keep", "raise")


@in_evaluation
def compare(
    samplers: dict[str, Sampler],
    num_samples: int,
    *,
    seed: int | Sequence[int] = 0,
    max_batch: int | str | None = None,
    progress: bool = False,
    calibrations: dict[str, pd.DataFrame] | None = None,
    errors: str = "keep",
    partial: Partial | None = None,
    condition: Any = None,
    judges: Mapping[str, Callable] | None = None,
    metrics: Mapping[str, Callable[[list], float]] | None = None,
    block_size: int | None = None,
    together: bool = False,
) -> Comparison:
    """Draw `num_samples` with every sampler, once per seed, and compare rewards and costs.

    A group of particles (smc, beam_search) counts as one sample, drawn by its weights; calls and seconds are per such
    sample. A reward that caches has it emptied before each run (its method `forget()`), so that seconds are fair.
    calibrations: tables of `calibrate` by name, for the report; one that has a sampler's name also tells `diagnose` of
    that sampler's value. max_batch, progress: as for `Sampler.sample`.

    errors: what an exception in a sampler's run does. "keep": that sampler ends there, its finished seeds count, the
    others go on, and table, page and files name the failure (`Comparison.failures`, a UserWarning); an interrupt
    (Ctrl-C) ends the comparison and returns what is done; where nothing is done, the first exception is raised.
    "raise": it is raised at once. What `decode` or `describe` raises costs their part and a note, or is raised. They
    and `draw` are tried on two samples first (T calls of two states, in no costs), so that it is known before the run.
    condition: rows of what the samples are conditioned on (see `svlearn.conditions`). Of C rows every sampler draws
    num_samples of each, in one run. Log Z, effective sample sizes, verdicts and disagreements are then of each
    condition, `Comparison.by_condition`, of which the table has a level and page and files a part; beside them stand
    the mean rewards over all. Seconds and calls are those of the run, the same for each sample.
    judges: by name, rewards that guide nothing, as `Target` takes them: one that was held out, another property, a
    predicate, whose True counts as 1. Each gives a figure of its name, the mean over the samples drawn, and its
    standard error. metrics: by name, functions of all decoded samples that give one number, as their novelty. Neither
    costs a sampler anything; what they raise costs their figure and a note, as of `describe`.
    partial: a file that each sampler's outcome is written to as soon as it is done, and from which those of an earlier
    call of the same request are taken.

    block_size: draw the samples of a seed in blocks of so many (of each condition), each by a stream of its own, (seed,
    block); None: all of them by one. Other samples, of the same law.
    together: share the work with the other processes of the open group of torch.distributed, as torchrun starts them,
    each of which makes the same call and is given the whole comparison. The work is cut by sampler, seed and block,
    never by process, so the figures do not depend on their number, seconds and memory apart, which are those of
    whoever drew. One seed without blocks leaves each sampler to one process. An error of one is told to all; the first
    alone writes `partial`.

    Raises ValueError for no samplers, num_samples < 1, no or repeated seeds, a sampler without a target; TypeError for
    what is not a `Sampler`. Samplers may differ in reward (a UserWarning and a note say so), alpha or reference (a
    note); where estimates of one log Z contradict each other, a note says so too. Together: ValueError where no group
    is open, and in every process where they were given other arguments (it says which).
    """
    if together:
        process_group.check_joined("together")
        _agree(locals())
    num_samples = integer(num_samples, "num_samples")
    max_batch = checked_max_batch(max_batch)
    block_size = None if block_size is None else integer(block_size, "block_size", optional=True)
    seeds = _check(samplers, seed)
    if errors not in ERRORS:
        raise ValueError(f"errors: expected one of {', '.join(ERRORS)}, got {errors!r}")
    judging = Judging.of(judges, metrics)
    calibrations = {} if calibrations is None else calibrations
    for name, frame in calibrations.items():
        expect(frame, pd.DataFrame, f"calibrations[{name!r}]")
        missing = [column for column in ("t", "pearson", "r2", "spread") if column not in frame.columns]
        if missing:
            raise ValueError(f"calibrations[{name!r}]: expected a table of calibrate, got no {', '.join(missing)}")
    notes = _notes(samplers)
    rows = None if condition is None else as_rows(condition)
    settings: dict[str, Any] = {"seeds": list(seeds), "num_samples": num_samples, "max_batch": max_batch}
    settings |= judging.settings | ({} if block_size is None else {"block_size": block_size})
    shown = {} if rows is None else {"conditions": labels(rows)}
    resumed: dict[str, Outcome] = {}
    if partial is not None:
        identified = {**settings, **_identity(rows)}
        resumed = _first(together, lambda: partial.read(identified, list(samplers)))
    unshown = _presentation_notes([each for name, each in samplers.items() if name not in resumed], errors, rows)
    drawing: dict[str, Any] = {"max_batch": max_batch, "progress": progress}
    runs = {name: Runs(sampler, errors, rows, judging) for name, sampler in samplers.items()}
    units = {name: units_of(name, seeds, num_samples, block_size) for name in samplers if name not in resumed}
    drawn, failures = outcomes_of(runs, units, errors, partial, calibrations, drawing, together)
    outcomes = {name: each for name in samplers if (each := resumed.get(name, drawn.get(name))) is not None}
    lost = [f"{name}: {note}." for name, outcome in outcomes.items() for note in outcome.notes]
    lost += [f"{name} failed, {failure}." for name, failure in failures.items()]
    for note in lost:
        warnings.warn(note, stacklevel=3)
    by_condition: dict[str, Findings] = {}
    if rows is not None and number_of_rows(rows) > 1:
        for label in shown["conditions"]:
            own = {name: outcome.by_condition[label] for name, outcome in outcomes.items()}
            by_condition[label] = _comparison(samplers, own, failures=failures)
    contradictions = [f"{label}: {text}" for label, each in by_condition.items() for text in each.notes]
    return _comparison(
        samplers,
        outcomes,
        notes=(*notes, *unshown, *lost, *contradictions),
        calibrations=calibrations,
        provenance={**provenance(), **settings, **shown},
        failures=failures,
        by_condition=by_condition,
    )


def _comparison(
    samplers: dict[str, Sampler], outcomes: dict[str, Outcome], *, notes: tuple[str, ...] = (), **others: Any
) -> Comparison:
    """What the outcomes come to; notes: besides what contradicts itself in them."""
    figures = {name: outcome.figures for name, outcome in outcomes.items()}
    return Comparison(
        rewards={name: outcome.rewards for name, outcome in outcomes.items()},
        figures=figures,
        pairs=_pairs(samplers),
        curves={name: outcome.curves for name, outcome in outcomes.items()},
        diagnoses={name: outcome.diagnosis for name, outcome in outcomes.items() if outcome.diagnosis},
        galleries={name: outcome.gallery for name, outcome in outcomes.items() if outcome.gallery is not None},
        notes=(*notes, *disagreements(samplers, figures)),
        **others,
    )


def _agree(arguments: dict[str, Any]) -> None:
    """See that all processes were given the same, as far as it can be told; before anything else is said of it."""
    plain = ("num_samples", "seed", "max_batch", "errors", "block_size")
    texts = {name: arguments[name] for name in plain}
    for name in ("samplers", "judges", "metrics", "calibrations"):
        things = arguments[name]
        texts[name] = sorted(map(str, things)) if isinstance(things, Mapping) else type(things).__name__
        if name != "calibrations" and isinstance(things, Mapping):
            texts |= {f"{name}[{key!r}]": identified(each, str(key)) for key, each in things.items()}
    texts["condition"] = identified(arguments["condition"], "condition")
    texts["partial"] = arguments["partial"] is not None
    process_group.agree(texts)


def _first(together: bool, make: Callable[[], dict[str, Outcome]]) -> dict[str, Outcome]:
    return process_group.from_first(make) if together else make()


def _identity(rows: Any) -> dict[str, str]:
    """What a partial file knows the conditions by; nothing where there are none."""
    return {} if rows is None else {"condition": identity(rows, "condition")}


def _check(samplers: dict[str, Sampler], seed: int | Sequence[int]) -> tuple[int, ...]:
    expect(samplers, dict, "samplers")
    if not samplers:
        raise ValueError("samplers: expected at least one, got an empty dict")
    for name, sampler in samplers.items():
        expect(name, str, "samplers: each name")
        if not isinstance(sampler, Sampler):
            raise TypeError(f"samplers[{name!r}]: expected a Sampler, got {type(sampler).__name__}")
        _target(sampler, name)
    seeds = tuple(as_seed(each) for each in (seed if isinstance(seed, Iterable) and not is_number(seed) else [seed]))
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seed: expected one integer, or several that differ, got {seed!r}")
    return seeds


def _presentation_notes(samplers: Sequence[Sampler], errors: str, rows: Any) -> list[str]:
    """What `decode`, `describe` and `draw` of the references raise, or give that cannot be shown, of two samples."""
    notes = []
    first = None if rows is None else take(rows, torch.tensor([0, 1 % number_of_rows(rows)]))
    for reference in {id(sampler.reference): sampler.reference for sampler in samplers}.values():
        try:
            check_presentation(reference, condition=first)
        except Exception as error:  # whatever a user's code may raise
            if errors == "raise":
                raise error.__cause__ or error from None
            notes.append(f"Tried on two samples before the run: {as_text(error)}.")
            warnings.warn(notes[-1], stacklevel=4)
    return notes


def _target(sampler: Sampler, name: str = "") -> Target:
    if sampler.target is None:
        raise ValueError(f"samplers[{name!r}]: expected one with a target, whose reward is compared, got None")
    return sampler.target


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
