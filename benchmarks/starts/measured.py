"""What a row is measured by: how many of its starts are effective, and how log Z spreads from group to group."""

import math
from typing import cast

import torch
from torch import Tensor

from benchmarks.common.clock import clock, since
from benchmarks.common.estimates import Estimate
from benchmarks.starts.problems import Problem
from benchmarks.starts.rows import Row
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.samples import Samples
from svlearn.randomness import seeded

TOGETHER = 2_000  # groups drawn at once


def measured(problem: Problem, row: Row, seed: int = 1) -> dict:
    """Of all groups; an estimate is a pair, with its standard error."""
    sampler, conditions, parts = row.make(problem), problem.conditions(), []
    start = clock()
    for first in range(0, problem.num_groups, TOGETHER):
        size = min(TOGETHER, problem.num_groups - first)
        rows = None if conditions is None else conditions[first : first + size]
        generator = seeded("cpu", seed, first)
        parts.append(sampler.sample(size, condition=rows, generator=generator, max_batch=problem.piece))
    spent = since(start)
    log_z = torch.cat([part.log_normalizer.double() for part in parts if part.log_normalizer is not None])
    strata = torch.zeros(len(log_z), dtype=torch.long) if conditions is None else conditions
    ratios = log_z.exp() / problem.mean_normalizer()
    acceptance = getattr(sampler.parts.start, "acceptance", None)
    return {
        "groups": len(log_z),
        "size": row.size,
        "effective_starts": average(torch.cat([effective_starts(part, row) for part in parts])),
        "ancestors": average(torch.cat([part.history.unique_ancestors[:, 0].double() for part in parts])),
        "ratio": mean_of_strata(ratios, strata),
        "spread": spread(log_z, strata),
        "acceptance": None if acceptance is None else acceptance.tolist(),
        "calls": sum(part.cost.reference_calls for part in parts) / len(log_z),
        "gradients": sum(part.cost.gradient_calls for part in parts) / len(log_z),
        **spent,
        "provenance": provenance(),
    }


def effective_starts(samples: Samples, row: Row) -> Tensor:
    """The effective sample size of the x_0 of each group (B,): particles of SMC, the first candidates of SVDD."""
    if row.sampler == "smc":
        return samples.history.ess[:, 0].double()
    return row.size * cast(Tensor, samples.history.spreads)[:, 0, 3].double()


def average(figures: Tensor) -> Estimate:
    return float(figures.mean()), float(figures.std()) / math.sqrt(len(figures))


def mean_of_strata(figures: Tensor, strata: Tensor) -> Estimate:
    """The mean of figures (N,), as many of each stratum, and its error by their spread inside the strata."""
    known = strata.unique()
    variances = [figures[strata == each].var() / (strata == each).sum() for each in known]
    return float(figures.mean()), float(torch.stack(variances).sum().sqrt()) / len(known)


def spread(log_z: Tensor, strata: Tensor) -> Estimate:
    """The standard deviation of log Z from group to group, pooled over strata, nats, and its jackknife error."""
    number = len(strata.unique())
    sizes = torch.bincount(strata).double()
    means = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, strata, log_z) / sizes
    squares = (log_z - means[strata]) ** 2
    total, size = squares.sum(), sizes[strata]
    without = total - squares * size / (size - 1)  # the sum of squares when one group is left out
    return _jackknifed((total / (len(log_z) - number)).sqrt(), (without / (len(log_z) - 1 - number)).sqrt())


def _jackknifed(value: Tensor, left_out: Tensor) -> Estimate:
    number = len(left_out)
    variance = (number - 1) / number * (left_out - left_out.mean()).square().sum()
    return float(value), float(variance.sqrt())
