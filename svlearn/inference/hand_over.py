"""When one value should hand over to another, by what samples that are so guided are worth."""

from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor

from svlearn.arguments import integer, integers
from svlearn.inference.samplers import svdd
from svlearn.process import Reference
from svlearn.randomness import device_of, seeded
from svlearn.targets import Target
from svlearn.values import Switch, Value


def best_switch(
    early: Value,
    late: Value,
    reference: Reference,
    target: Target,
    *,
    starts: Iterable[int],
    num_samples: int = 64,
    num_candidates: int | list[int] = 10,
    seed: int = 0,
    condition: Any = None,
    max_batch: int | None = None,
) -> Switch:
    """The `Switch` with the start, of those given, at which samples of `svdd` have the highest mean reward; the last of
    equals.

    num_samples: drawn for each start, all by the same (seed, 1), so that they tell nothing of samples of another seed,
    nor of `compare`'s of this one. It costs what these samples cost, and asks directly what `Switch.fit` adds up from
    gains of single choices, which a few hundred trajectories leave uncertain. The mean of 64 rewards has a standard
    error of an eighth of their spread: starts that differ by less are not told apart. condition: one row a sample.
    Raises ValueError for no start and for what `svdd` refuses.
    """
    starts, num_samples = integers(starts, "starts", 0), integer(num_samples, "num_samples")
    if not starts:
        raise ValueError("starts: expected at least one, got none")
    means: dict[int, float] = {}
    for start in sorted(set(starts)):
        sampler = svdd(reference, target, Switch(early, late, start), num_candidates)
        generator = seeded(device_of(reference), seed, 1)
        samples = sampler.sample(num_samples, condition=condition, generator=generator, max_batch=max_batch)
        means[start] = float(cast(Tensor, samples.rewards).double().mean())
    return Switch(early, late, max(means, key=lambda start: (means[start], start)))
