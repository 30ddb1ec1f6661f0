"""The problems that advice is asked about: a model, a reward, what a sample may cost and what the advice may spend."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

import svlearn as sv
from benchmarks.digits import problem as digits
from benchmarks.sequences import problems as sequences
from benchmarks.stories.texts import condition as prompts
from benchmarks.stories_budget import rows as stories
from benchmarks.stories_budget import tasks
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.rewards import QED
from svlearn.domains.sequences.gb1 import LogFitness
from svlearn.domains.sequences.gb1.network import SiteValue

FOR_SAMPLES = 1000
SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Setting:
    """What `sv.advise` is given, and the conditions of so many samples, None where there are none."""

    reference: sv.Reference
    target: sv.Target
    options: Mapping[str, Any] = field(default_factory=dict)
    condition: Callable[[int], Any] = lambda number: None


@dataclass(frozen=True)
class Problem:
    """make: of the seed of an advice, which a network that it trains begins by. per_sample, budgets: in calls of the
    reference, of its gradient and of the reward; number: of the samples that judge an advised sampler."""

    name: str
    title: str
    unit: str
    make: Callable[[int], Setting]
    per_sample: float
    budgets: tuple[int, ...]
    number: int
    seeds: tuple[int, ...] = SEEDS


def learned(make: Callable[[], torch.nn.Module], seed: int) -> dict[str, sv.Value]:
    torch.manual_seed(seed)  # of the network's first weights
    return {"learned": sv.values.Learned(make())}


def gb1(seed: int) -> Setting:
    return Setting(loaded("gb1"), sv.Target(LogFitness(), 0.0), {"trainable": learned(SiteValue, seed)})


def mrl(seed: int) -> Setting:
    """At the alpha of the leaderboard's strongest guidance."""
    own = sequences.PROBLEMS["mrl"]
    return Setting(sequences.process(own.reference), own.target(own.spread / 50))


def qm9(seed: int) -> Setting:
    reference = loaded("qm9")
    network = lambda: GraphIsomorphismNetwork(num_steps=reference.num_steps, depth=3)  # noqa: E731
    return Setting(reference, sv.Target(QED(num_workers=1), 0.0), {"trainable": learned(network, seed)})


def of_digits(seed: int) -> Setting:
    options = {"trainable": {}, "condition": digits.classes(1)}
    return Setting(digits.process(), digits.target(1.0), options, lambda number: digits.classes(number // 10))


def of_stories(seed: int) -> Setting:
    """With the leaderboard's samplers by roll-outs at hand: a causal model says no x̂_T of a text that has begun."""
    samplers = {name: make("sentiment", 16) for name, make in stories.FREE.items() if "roll-outs" in name}
    options = {"trainable": {}, "samplers": samplers, "condition": prompts(1)}
    return Setting(tasks.reference(), tasks.target("sentiment"), options, prompts)


@cache
def loaded(name: str) -> sv.Reference:
    return sv.load(name)


PROBLEMS = {
    each.name: each
    for each in (
        Problem("gb1", "GB1, log fitness", "log fitness", gb1, 100, (5_000, 15_000, 30_000), 1024),
        Problem("mrl", "5'UTRs, ribosome load", "ribosomes", mrl, 2100, (35_000, 70_000, 140_000), 64),
        Problem("qm9", "QM9, QED", "QED", qm9, 920, (45_000, 90_000, 170_000), 64),
        Problem("stories", "Stories, sentiment", "nats", of_stories, 656, (20_000, 45_000, 90_000), 64),
        Problem("digits", "Digits, log p(class)", "nats", of_digits, 416, (13_000, 26_000, 52_000), 80),
    )
}
