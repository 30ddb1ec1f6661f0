"""Samplers on the landscape: how far what they draw is from p*, and their log Z, by what they cost."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gb1 import laws, values
from benchmarks.gb1.problem import ALPHA, ALPHAS, CANDIDATES, CHOSEN, landscape, library_landscape, target
from svlearn.domains.sequences.landscape import Landscape
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference import proposals
from svlearn.inference.refinement import refine
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.inference.samples import Samples
from svlearn.inference.tree_search import tree_search
from svlearn.randomness import seeded
from svlearn.values import PosteriorMean, Value, Zero

GROUPS, PIECE = 10_000, 1000  # drawn by each sampler, and at once
TEMPERED = (0.0, 0.25, 0.5, 0.75, 1.0)  # λ_t: an adaptive one takes 1 at once, at the one x_0
PM, LEARNED, EXACT, SOFTEST = "r(x̂_T)", "learned value", "exact value", "mean value"


def value_of(kind: str) -> Value:
    """A value by its name; the learned one is by soft Monte Carlo regression, seed 0."""
    if kind == PM:
        return PosteriorMean(target())
    if kind == LEARNED:
        return values.trained(values.FAMILIES[0], 0)[0]
    return landscape().soft_value(ALPHA) if kind == EXACT else landscape().mean_value()


def of_smc(kind: str, size: int, **options: Any) -> Sampler:
    value = Zero() if kind == "" else value_of(kind)
    return smc(landscape().reference, target(), value, size, **options)


def of_svdd(value: Value, number: int) -> Sampler:
    """All start at the one x_0: it needs no candidates."""
    reference = landscape().reference
    return svdd(reference, target(), value, [1, *[number] * reference.num_steps])


def by_exact_steps(value: Value, size: int = 1) -> Sampler:
    return smc(landscape().reference, target(), value, size, proposal=proposals.Exact(value))


def guided(kind: str, size: int) -> Sampler:
    """By the gradient in the one-hots: of a learned value at the next mean, of r(x̂_T) at the state (DPS)."""
    value = value_of(kind)
    return smc(landscape().reference, target(), value, size, proposal=proposals.Guided(value))


def refined() -> Sampler:
    """SVDD-PM, then twice half of the steps back and on again (SVDD-R)."""
    return refine(of_svdd(value_of(PM), CHOSEN), 2, 0.5)


DRAWN: dict[str, tuple[Callable[[], Sampler], int]] = {
    **{f"SMC, no look-ahead, K = {k}": (lambda k=k: of_smc("", k), GROUPS) for k in (4, 16)},
    **{f"SMC, {PM}, K = {k}": (lambda k=k: of_smc(PM, k), GROUPS) for k in (4, 16)},
    **{f"SMC, {LEARNED}, K = {k}": (lambda k=k: of_smc(LEARNED, k), GROUPS) for k in (4, 16)},
    f"SMC, {EXACT}, K = 16": (lambda: of_smc(EXACT, 16), GROUPS // 2),
    f"SVDD, {PM}, M = {CHOSEN}": (lambda: of_svdd(value_of(PM), CHOSEN), GROUPS // 5),
    f"SVDD, {LEARNED}, M = {CHOSEN}": (lambda: of_svdd(value_of(LEARNED), CHOSEN), GROUPS // 5),
    f"SVDD, r of 4 x̂_T, M = {CHOSEN}": (lambda: of_svdd(PosteriorMean(target(), 4), CHOSEN), GROUPS),
    f"Nested SMC, {PM}, K = 4, M = 4": (lambda: of_smc(PM, 4, num_candidates=4), GROUPS),
    f"SMC, {PM}, tempered, K = 16": (lambda: of_smc(PM, 16, tempering=TEMPERED), GROUPS),
    f"Exact steps, {LEARNED}": (lambda: by_exact_steps(value_of(LEARNED)), GROUPS // 5),
    f"SMC of exact steps, {LEARNED}, K = 4": (lambda: by_exact_steps(value_of(LEARNED), 4), GROUPS),
    f"Guidance, {LEARNED}": (lambda: guidance(landscape().reference, target(), value_of(LEARNED)), GROUPS // 2),
    f"TDS, {LEARNED}, K = 4": (lambda: guided(LEARNED, 4), GROUPS // 2),
    f"Guidance, {PM} (DPS)": (lambda: guidance(landscape().reference, target(), value_of(PM)), GROUPS // 2),
    f"TDS, {PM}, K = 4": (lambda: guided(PM, 4), GROUPS // 2),
    f"SVDD-R, {PM}, M = {CHOSEN}, 2 rounds": (refined, GROUPS // 5),
    "Tree search, no look-ahead, R = 16": (lambda: tree_search(landscape().reference, target(), None, 16), GROUPS // 5),
    "Tree search, no look-ahead, R = 64": (lambda: tree_search(landscape().reference, target(), None, 64), GROUPS // 5),
}


def places(found: Landscape, states: Tensor) -> Tensor:
    """Where finished states (N, 4) stand among the variants."""
    return torch.searchsorted(found.graph.codes(found.variants), found.graph.codes(states))


def drawn(name: str) -> dict[str, Any]:
    """The law of what a sampler draws, by the weights of its particles over all groups, and its cost a group."""
    make, groups = DRAWN[name]
    sampler, found = make(), landscape()
    law = torch.zeros(len(found.variants), dtype=torch.float64)
    errors, costs = [], dict.fromkeys(("reference_calls", "value_calls", "gradient_calls", "reward_calls"), 0)
    for piece in range(0, groups, PIECE):
        samples: Samples = sampler.sample(PIECE, generator=seeded("cpu", 5, piece))
        law.index_add_(0, places(found, samples.states.flatten(0, 1)), samples.log_weights.exp().flatten().double())
        if samples.log_normalizer is not None:
            errors.append((samples.log_normalizer - found.log_normalizer(ALPHA)).abs())
        for kind in costs:
            costs[kind] += getattr(samples.cost, kind)
    wanted = found.law(ALPHA)
    noise = torch.multinomial(wanted.exp(), groups, replacement=True, generator=seeded("cpu", 6))
    exact = torch.bincount(noise, minlength=len(wanted)).double() / groups
    return {
        "total_variation": laws.total_variation((law / groups).log(), wanted),
        "of_exact_draws": laws.total_variation(exact.log(), wanted),
        "groups": groups,
        "log_z_error": float(torch.cat(errors).mean()) if errors else None,
        "fitness": float((law / groups) @ found.rewards.exp()),
        **{kind: number / groups for kind, number in costs.items()},
        "provenance": provenance(),
    }


def figures(found: Landscape, law: Tensor, alpha: float) -> dict[str, float]:
    return {
        "total_variation": laws.total_variation(law, found.law(alpha)),
        "reverse": laws.kl(law, found.law(alpha)),
        "fitness": float(law.exp() @ found.rewards.exp()),
    }


def swept(found: Landscape, alpha: float) -> dict[str, Any]:
    """SVDD with each value that needs no training, and best-of-N, by the number of candidates; exactly."""
    held = found.target(alpha)
    kinds = {PM: PosteriorMean(held), SOFTEST: found.mean_value(), EXACT: found.soft_value(alpha)}
    rows = {"best-of-N": {str(n): figures(found, laws.best_of(found, n), alpha) for n in CANDIDATES}}
    for kind, value in kinds.items():
        moves = laws.svdd(found, laws.tables(found, value), alpha, CANDIDATES)
        rows[f"SVDD, {kind}"] = {
            str(number): figures(found, found.law_of(each), alpha) for number, each in zip(CANDIDATES, moves)
        }
    return rows


def of_learned() -> dict[str, Any]:
    """SVDD with the learned value, by the number of candidates, and its exact steps alone; exactly, at `ALPHA`."""
    found = landscape()
    said = laws.tables(found, value_of(LEARNED))
    moves = laws.svdd(found, said, ALPHA, CANDIDATES)
    rows = {str(n): figures(found, found.law_of(each), ALPHA) for n, each in zip(CANDIDATES, moves)}
    steps = figures(found, found.law_of(laws.tilted(found, said, ALPHA)), ALPHA)
    return {f"SVDD, {LEARNED}": rows, "exact steps": steps}


SWEEPS = {
    f"{name}/{alpha}": (make, alpha)
    for alpha in ALPHAS
    for name, make in (("gb1", landscape), ("library", library_landscape))
    if name == "gb1" or alpha in (0.3, 1.0)
}
