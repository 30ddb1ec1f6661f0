"""Values that are learned on the landscape: each objective trained, and held against both exact values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import RUNS
from benchmarks.gb1 import laws
from benchmarks.gb1.problem import ALPHA, CHOSEN, landscape, target
from svlearn import checkpoints
from svlearn.domains.sequences.gb1.network import SiteValue
from svlearn.evaluation.report.provenance import provenance
from svlearn.fingerprint import fingerprint
from svlearn.objectives import (
    ContrastiveEnergy,
    ContrastiveTwist,
    MonteCarloRegression,
    Objective,
    PathConsistency,
    SoftQIteration,
)
from svlearn.objectives.fit import fit
from svlearn.values import Learned, PosteriorMean, Value

STEPS, BATCH, RATE = 900, 512, 5e-3
SOFT, MEAN = "soft", "mean"


@dataclass(frozen=True)
class Family:
    """An objective, its options, and what it learns; of `up_to_constant` ones a constant c(t) is not told."""

    name: str
    objective: Callable[..., Objective]
    learns: str
    options: dict[str, Any] = field(default_factory=dict)
    up_to_constant: bool = False


FAMILIES = [
    Family("Monte Carlo regression, soft", MonteCarloRegression, SOFT, {"estimand": "soft"}),
    Family("Soft-Q iteration, soft", SoftQIteration, SOFT, {"estimand": "soft"}),
    Family("Contrastive twist", ContrastiveTwist, SOFT, up_to_constant=True),
    Family("Contrastive energy", ContrastiveEnergy, SOFT, up_to_constant=True),
    Family("Monte Carlo regression, mean", MonteCarloRegression, MEAN, {"estimand": "mean"}),
    Family("Soft-Q iteration, mean", SoftQIteration, MEAN, {"estimand": "mean"}),
    Family("Path consistency, value only", PathConsistency, MEAN, {"variant": "subtrajectory"}),
]


def file(family: Family, seed: int) -> Path:
    return RUNS / "gb1_values" / f"{family.name.lower().replace(', ', '_').replace(' ', '_')}_{seed}.safetensors"


def trained(family: Family, seed: int) -> tuple[Value, dict[str, float]]:
    """The value of a family, and what training it took; {} where it had been trained."""
    torch.manual_seed(seed)  # of the network's first weights
    network, path = SiteValue(), file(family, seed)
    made_of = {"steps": STEPS, "batch_size": BATCH, "learning_rate": RATE, "options": family.options}
    if not missing(path, **made_of, reference=fingerprint(landscape().reference)):
        return Learned(checkpoints.load_value(network, path, landscape().reference)), {}
    given = {"learning_rate": RATE, "batch_size": BATCH, **family.options}
    objective = family.objective(landscape().reference, target(), Learned(network), **given)
    start = clock()
    fit(objective, max_steps=STEPS, seed=seed, enable_progress_bar=False)
    spent = since(start)
    checkpoints.save_value(network, path, landscape().reference)
    return Learned(network.eval()), spent


def r2(values: Sequence[Tensor], exact: Sequence[Tensor], weights: Sequence[Tensor], up_to_constant: bool) -> float:
    """1 - Σ_t E[(v - exact)²]/Σ_t Var[exact], over t = 0 ... T - 1, of all states, each by its weight at t."""
    errors = variance = 0.0
    for value, wanted, weight in zip(values[:-1], exact, weights, strict=False):
        gap = value - wanted
        if up_to_constant:
            gap = gap - weight @ gap
        errors += float(weight @ gap.square())
        variance += float(weight @ (wanted - weight @ wanted).square())
    return 1 - errors / variance


def judged(value: Value, up_to_constant: bool) -> dict[str, Any]:
    """R² against both exact values by both laws of x_t, and how far two samplers that use it are from p*."""
    found = landscape()
    said = laws.tables(found, value)
    exact = {SOFT: found.graph.backward(found.rewards / ALPHA), MEAN: found.graph.means(found.rewards)}
    exact[SOFT] = [ALPHA * each for each in exact[SOFT]]
    weights = {"p_ref": found.graph.marginals(), "p*": found.graph.marginals(found.optimal_moves(ALPHA))}
    scores = {
        f"{kind}, {name}": r2(said, exact[kind], weight, up_to_constant)
        for kind in (SOFT, MEAN)
        for name, weight in weights.items()
    }
    wanted = found.law(ALPHA)
    (chosen,) = laws.svdd(found, said, ALPHA, [CHOSEN])
    return {
        "r2": scores,
        "svdd": laws.total_variation(found.law_of(chosen), wanted),
        "exact_proposal": laws.total_variation(found.law_of(laws.tilted(found, said, ALPHA)), wanted),
    }


def measured(family: Family, seed: int) -> dict[str, Any]:
    value, spent = trained(family, seed)
    return {**judged(value, family.up_to_constant), **spent, "provenance": provenance()}


def untrained() -> dict[str, dict[str, Any]]:
    """Of the values that need no training: r(x̂_T), and the exact ones."""
    found = landscape()
    values = {
        "Posterior mean": PosteriorMean(target()),
        "Exact soft value": found.soft_value(ALPHA),
        "Exact mean value": found.mean_value(),
    }
    return {name: judged(value, False) for name, value in values.items()}
