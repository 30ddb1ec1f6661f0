"""What needs no training, and pays for every sample instead."""

from collections.abc import Callable
from typing import Any

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.policy_objectives.curves import EVALUATION, network_calls, scores_of
from benchmarks.policy_objectives.families import CANDIDATES
from benchmarks.policy_objectives.tasks import TASKS, candidates, condition, looking_ahead, reference, target
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import metered
from svlearn.randomness import seeded

AT_ONCE = 512
SEED = 0  # no seed of the trainings


def pretrained(name: str) -> sv.Sampler:
    return sv.ancestral(reference(name), target(name))


def best(name: str) -> sv.Sampler:
    return sv.best_of_n(reference(name), target(name), CANDIDATES)


def svdd(name: str) -> sv.Sampler:
    greedy = target(name, 0.0)
    return sv.svdd(reference(name), greedy, looking_ahead(name, greedy), candidates(name, CANDIDATES))


def smc(name: str) -> sv.Sampler:
    return sv.smc(reference(name), target(name), looking_ahead(name, target(name)), CANDIDATES)


PRETRAINED = "pretrained"
BASELINES: dict[str, Callable[[str], sv.Sampler]] = {
    PRETRAINED: pretrained,
    f"best-of-{CANDIDATES}": best,
    f"SVDD, M = {CANDIDATES}": svdd,
    f"SMC, K = {CANDIDATES}": smc,
}


def measured(name: str, baseline: str) -> dict[str, Any]:
    """The figures of as many samples as judge a training, four times as many of p_ref, and what one takes."""
    number = TASKS[name].number * (4 if baseline == PRETRAINED else 1)
    generator = seeded("cpu", SEED, EVALUATION)
    sampler, start = BASELINES[baseline](name), clock()
    with metered() as meter:
        options = {"condition": condition(name, number), "generator": generator, "max_batch": AT_ONCE}
        samples = sampler.sample(number, **options)
    spent = since(start)
    states, rewards = samples.draw_with_rewards(generator=generator)
    return scores_of(name, states, rewards) | {
        "calls": network_calls(meter) / number,
        "cpu_seconds": spent["cpu_seconds"] / number,
        "provenance": provenance(),
    }
