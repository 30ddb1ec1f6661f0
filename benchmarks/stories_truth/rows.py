"""The samplers of the study, by name, with what of them is learned."""

from collections.abc import Callable

import svlearn as sv
from benchmarks.stories_truth.problem import reference, target
from svlearn.inference import proposals
from svlearn.policies import Policy
from svlearn.values import MonteCarlo, Value, Zero

PARTICLES, FEW = 16, 4


def _importance(problem: str, number: int) -> sv.Sampler:
    return sv.smc(reference(), target(problem), Zero(), number, ess_threshold=0.0)


def _look_ahead(problem: str) -> Value:
    return MonteCarlo(reference(), target(problem), 4, estimand="soft")


TRAINING_FREE: dict[str, Callable[[str], sv.Sampler]] = {
    "plain": lambda problem: sv.ancestral(reference(), target(problem)),
    "best-of-16": lambda problem: sv.best_of_n(reference(), target(problem), PARTICLES),
    "importance sampling, K = 16": lambda problem: _importance(problem, PARTICLES),
    "importance sampling, K = 64": lambda problem: _importance(problem, 4 * PARTICLES),
    "SMC, 4 roll-outs, K = 16": lambda problem: sv.smc(reference(), target(problem), _look_ahead(problem), PARTICLES),
    "SVDD, 4 roll-outs, M = 16": lambda problem: sv.svdd(reference(), target(problem), _look_ahead(problem), PARTICLES),
}


def with_value(problem: str, value: Value) -> dict[str, sv.Sampler]:
    """The samplers that a learned value of next tokens is for."""
    proposal = proposals.Exact(value, last="value")
    return {
        f"twisted SMC, K = {FEW}": sv.smc(reference(), target(problem), value, FEW, proposal=proposal),
        f"twisted SMC, K = {PARTICLES}": sv.smc(reference(), target(problem), value, PARTICLES, proposal=proposal),
    }


def with_policy(problem: str, policy: Policy) -> dict[str, sv.Sampler]:
    """A policy alone, and as what an importance sampler proposes."""
    proposal = proposals.Policy(policy)
    return {
        "alone": sv.ancestral(policy, target(problem)),
        f"importance sampling, K = {FEW}": sv.smc(
            reference(), target(problem), Zero(), FEW, ess_threshold=0.0, proposal=proposal
        ),
    }
