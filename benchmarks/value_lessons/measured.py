"""What a lesson is worth: the rewards of SVDD by the value that it made, and what these samples took."""

from collections.abc import Callable
from typing import Any

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.value_lessons.lessons import LESSONS
from benchmarks.value_lessons.problems import CANDIDATES, PROBLEMS, condition, reference, svdd, target, training_free
from svlearn.evaluation.report.provenance import provenance
from svlearn.objectives.held_out import mean_with_error
from svlearn.randomness import seeded

AT_ONCE = 512
EVALUATION = 7  # a stream of randomness of its own
PRETRAINED, BEST, SVDD_PM = "pretrained", f"best-of-{CANDIDATES}", "SVDD-PM"
FREE: dict[str, Callable[[str], sv.Sampler]] = {
    PRETRAINED: lambda name: sv.ancestral(reference(name), target(name)),
    BEST: lambda name: sv.best_of_n(reference(name), target(name), CANDIDATES),
    SVDD_PM: lambda name: svdd(name, training_free(name)),
}


def free(name: str, row: str) -> dict[str, Any]:
    return judged(name, FREE[row](name), 0) | {"provenance": provenance()}


def trained(name: str, row: str, seed: int) -> dict[str, Any]:
    learnt = LESSONS[row].make(name, seed)
    held = judged(name, svdd(name, learnt.value), seed)
    spent = {"training_calls": learnt.calls, "training_cpu_seconds": learnt.cpu_seconds}
    return held | spent | {"provenance": provenance()}


def judged(name: str, sampler: sv.Sampler, seed: int) -> dict[str, Any]:
    """The mean reward of fresh samples with its standard error; calls and seconds of processors, a sample."""
    number, start = PROBLEMS[name].number, clock()
    given = {"generator": seeded("cpu", seed, EVALUATION), "max_batch": AT_ONCE}
    samples = sampler.sample(number, condition=condition(name, number), **given)
    spent = since(start)["cpu_seconds"] / number
    _, rewards = samples.draw_with_rewards(generator=seeded("cpu", seed, EVALUATION, 1))
    cost = samples.cost
    return {
        "reward": list(mean_with_error(rewards)),
        "reference_calls": cost.reference_calls / number,
        "value_calls": cost.value_calls / number,
        "reward_calls": cost.reward_calls / number,
        "cpu_seconds": spent,
    }
