"""The work of a comparison in units, each a sampler, a seed and a block of its samples: drawn here, or by the rank of
several processes whose turn it is. What a unit draws depends on these three alone, never on who draws it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial as given
from typing import Any

import pandas as pd

from svlearn import process_group
from svlearn.evaluation.outcome import Drawn, Outcome, Runs, as_text
from svlearn.evaluation.partial import Partial
from svlearn.reward import forget


@dataclass(frozen=True)
class Unit:
    """block: which of the blocks of a seed's samples, None where they are one; size: samples in it, of a condition."""

    name: str
    seed: int
    block: int | None
    size: int


@dataclass(frozen=True)
class Failure:
    """What ended a unit, in one line; the error itself only where it was raised."""

    text: str
    error: BaseException | None = None


Results = Mapping[Unit, Drawn | Failure]


def units_of(name: str, seeds: Sequence[int], num_samples: int, block_size: int | None) -> list[Unit]:
    """Those of one sampler, in the order in which their samples stand."""
    if block_size is None:
        return [Unit(name, seed, None, num_samples) for seed in seeds]
    starts = range(0, num_samples, block_size)
    return [
        Unit(name, seed, block, min(block_size, num_samples - start))
        for seed in seeds
        for block, start in enumerate(starts)
    ]


def waves(units: Mapping[str, list[Unit]], processes: int) -> Iterator[dict[str, list[Unit]]]:
    """The samplers in their order, at a time as many as have a unit for each process: after each wave what is finished
    is known to all, and kept."""
    wave: dict[str, list[Unit]] = {}
    for name, own in units.items():
        wave[name] = own
        if sum(map(len, wave.values())) >= processes:
            yield wave
            wave = {}
    if wave:
        yield wave


def outcomes_of(
    runs: Mapping[str, Runs],
    units: Mapping[str, list[Unit]],
    errors: str,
    partial: Partial | None,
    calibrations: Mapping[str, pd.DataFrame],
    drawing: dict[str, Any],
    together: bool,
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """The outcomes of those that finished a seed, and the failures, both by name. A sampler ends at the first of its
    units that fails. An interrupt ends all: alone with what is done, of several processes by being raised."""
    outcomes: dict[str, Outcome] = {}
    failures: dict[str, str] = {}
    first: Failure | None = None
    interrupted = False
    for wave in waves(units, process_group.size() if together else 1):
        if interrupted:
            failures |= dict.fromkeys(wave, "not run: the comparison was interrupted before")
            continue
        results = _drawn(wave, runs, errors, drawing, together)
        for name, own in wave.items():
            failed = _added(runs[name], own, results)
            if failed is not None:
                unit, failure = failed
                first = failure if first is None else first
                interrupted = isinstance(failure.error, KeyboardInterrupt)
                failures[name] = f"seed {unit.seed}: {failure.text}"
            if len(runs[name]):
                outcomes[name] = runs[name].outcome(calibrations.get(name))
                if partial is not None and name not in failures and process_group.number() * together == 0:
                    partial.add(name, outcomes[name])
    if not outcomes and first is not None:
        raise _as_error(first)
    return outcomes, failures


def _drawn(
    wave: Mapping[str, list[Unit]], runs: Mapping[str, Runs], errors: str, drawing: dict[str, Any], together: bool
) -> Results:
    """What each unit of a wave has drawn; those after a failure of the same sampler may be missing."""
    units = [unit for own in wave.values() for unit in own]
    own = units[process_group.number() :: process_group.size()] if together else units
    results: dict[Unit, Drawn | Failure] = {}
    lost: set[str] = set()
    for unit in own:
        if unit.name in lost:
            continue
        result = _attempt(given(_draw, runs[unit.name], unit, drawing), together or errors == "keep")
        lost |= {unit.name} if isinstance(result, Failure) else set()
        results[unit] = result
        if isinstance(result, Failure) and (isinstance(result.error, KeyboardInterrupt) or errors == "raise"):
            break
    if not together:
        return results
    sent = {unit: Failure(each.text) if isinstance(each, Failure) else each.on_cpu() for unit, each in results.items()}
    everyone = process_group.gathered(sent)
    merged = {unit: each for part in everyone for unit, each in part.items()}
    merged |= {unit: each for unit, each in results.items() if isinstance(each, Failure)}  # with its error
    failed = next((merged[unit] for unit in units if isinstance(merged.get(unit), Failure)), None)
    if errors == "raise" and isinstance(failed, Failure):
        raise _as_error(failed)
    return merged


def _attempt(draw: Callable[[], Drawn], keeps: bool) -> Drawn | Failure:
    try:
        return draw()
    except (Exception, KeyboardInterrupt) as error:
        if not keeps or (isinstance(error, KeyboardInterrupt) and process_group.size() > 1):
            raise
        return Failure(as_text(error), error)


def _draw(runs: Runs, unit: Unit, drawing: dict[str, Any]) -> Drawn:
    if runs.sampler.target is not None:
        forget(runs.sampler.target.reward)
    return runs.draw(unit.size, unit.seed, unit.block, **drawing)


def _added(runs: Runs, units: Sequence[Unit], results: Results) -> tuple[Unit, Failure] | None:
    """Add the seeds of which every block is there, up to the first failure, which is returned."""
    for seed in dict.fromkeys(unit.seed for unit in units):
        own = [unit for unit in units if unit.seed == seed]
        parts = []
        for unit in own:
            result = results[unit]
            if isinstance(result, Failure):
                return unit, result
            parts.append(result)
        try:
            runs.add(seed, parts)
        except (Exception, KeyboardInterrupt) as error:
            ends_all = isinstance(error, KeyboardInterrupt) and process_group.size() > 1
            if runs.errors == "raise" or ends_all:
                raise
            return own[0], Failure(as_text(error), error)
    return None


def _as_error(failure: Failure) -> BaseException:
    return RuntimeError(f"on another rank: {failure.text}") if failure.error is None else failure.error
