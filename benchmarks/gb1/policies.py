"""Policies that are learned on the landscape, and their exact KL to p*, both ways."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.common.clock import clock, since
from benchmarks.gb1 import laws
from benchmarks.gb1.problem import ALPHA, CHOSEN, landscape, target
from svlearn.domains.sequences.gb1.network import SiteValue
from svlearn.evaluation.report.provenance import provenance
from svlearn.inference.samplers import smc, svdd
from svlearn.objectives import (
    Distillation,
    DistributionalPolicyGradient,
    GumbelSoftmaxControl,
    Objective,
    PathConsistency,
    PolicyGradient,
    ProximalPolicyGradient,
)
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned, Policy
from svlearn.values import Learned, PosteriorMean

STEPS, BATCH, RATE = 250, 512, 3e-3


@dataclass(frozen=True)
class Family:
    """An objective of a policy and its options; with_value: a value is trained beside it."""

    name: str
    objective: Callable[..., Objective]
    options: dict[str, Any] = field(default_factory=dict)
    with_value: bool = False
    more: Callable[[], dict[str, Any]] = dict
    epochs: int = 1


def of_svdd() -> dict[str, Any]:
    """The teacher of what SVDD-PM draws."""
    reference = landscape().reference
    candidates = [1, *[CHOSEN] * reference.num_steps]
    return {"sampler": svdd(reference, target(), PosteriorMean(target()), candidates), "law": "teacher"}


def of_smc() -> dict[str, Any]:
    """The teacher that is p*, by the weights of particles."""
    given = (landscape().reference, target(), PosteriorMean(target()), 32)
    return {"sampler": smc(*given), "law": "target"}


FAMILIES = [
    Family("Path consistency, trajectory balance (RTB)", PathConsistency, {"variant": "trajectory"}),
    Family("Path consistency, log-variance", PathConsistency, {"variant": "log_variance"}),
    Family("Path consistency, subtrajectory", PathConsistency, {"variant": "subtrajectory"}, with_value=True),
    Family("Policy gradient", PolicyGradient),
    Family("Proximal policy gradient (PPO)", ProximalPolicyGradient, {"num_epochs": 2}, epochs=2),
    Family("Distributional policy gradient", DistributionalPolicyGradient),
    Family("Gumbel-softmax control (DRAKES)", GumbelSoftmaxControl, {"temperature": (1.0, 0.3)}),
    Family("Distillation of SMC towards p*", Distillation, more=of_smc),
    Family("Distillation of SVDD-PM", Distillation, more=of_svdd),
]


def judged(policy: Policy) -> dict[str, float]:
    """Exact figures of a policy, by enumeration: KL to p* of x_T and of whole trajectories, both ways, nats; the total
    variation; and the mean fitness."""
    found = landscape()
    moves, optimal = found.moves_of(policy), found.optimal_moves(ALPHA)
    law, wanted = found.law_of(moves), found.law(ALPHA)
    return {
        "reverse": laws.kl(law, wanted),
        "forward": laws.kl(wanted, law),
        "reverse_path": float(found.path_kl(moves, optimal)),
        "forward_path": float(found.path_kl(optimal, moves)),
        "total_variation": laws.total_variation(law, wanted),
        "fitness": float(law.exp() @ found.rewards.exp()),
    }


def measured(family: Family, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    reference = landscape().reference
    parts: dict[str, Any] = {"policy": Finetuned(reference)}
    if family.with_value:
        parts["value"] = Learned(SiteValue())
    given = {"learning_rate": RATE, "batch_size": BATCH, **family.options, **family.more()}
    objective = family.objective(reference, target(), **parts, **given)
    start = clock()
    fit(objective, max_steps=STEPS * family.epochs, seed=seed, enable_progress_bar=False)
    spent = since(start)
    return {**judged(objective.policy), **spent, "provenance": provenance()}


def untrained() -> dict[str, dict[str, float]]:
    """The reference as a policy, and the best policy."""
    found = landscape()
    return {"The reference": judged(Finetuned(found.reference)), "p* itself": judged(found.best_policy(ALPHA))}
