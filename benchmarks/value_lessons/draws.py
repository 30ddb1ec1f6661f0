"""What the values learn from: drawn for so many calls of the reference and the reward, and no more."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.value_lessons.problems import condition, reference, target, training_free
from svlearn.inference.samples import Samples
from svlearn.metering import metered
from svlearn.randomness import seeded
from svlearn.rollouts import label_candidates, label_survivors, roll_on, roll_out
from svlearn.state import State, concatenate
from svlearn.values import Value

COUNTED = ("reference_calls", "reward_calls")
PILOT = 4  # rows that tell what a row costs
AT_ONCE = 256  # rows that are drawn together, and states in a call
PLAIN, OWN = 1, 2  # streams of randomness


@dataclass(frozen=True)
class Data:
    """rows: trajectories, or states with labels; calls of the reference and the reward, and seconds of processors, that
    they took."""

    rows: TensorDict
    calls: int
    cpu_seconds: float


def drawn_for(budget: float, draw: Callable[[int, torch.Generator], TensorDict], seed: int, stream: int) -> Data:
    """As many rows of `draw(number, generator)` as a budget of calls allows, by what the first few cost."""
    generator, start = seeded("cpu", seed, stream), clock()
    with metered(AT_ONCE) as meter:
        parts = [draw(PILOT, generator)]
        number = int((budget - calls_of(meter)) * PILOT / calls_of(meter))
        if number < 0:
            raise ValueError(f"budget: expected at least {calls_of(meter)} calls, got {budget:g}")
        parts += [draw(min(AT_ONCE, number - done), generator) for done in range(0, number, AT_ONCE)]
    return Data(concatenate(parts), calls_of(meter), since(start)["cpu_seconds"])


def calls_of(meter: Any) -> int:
    return sum(meter.calls[kind] for kind in COUNTED)


@cache
def plain(name: str, seed: int, budget: float) -> Data:
    """Trajectories of the reference, the same ones for all that begin by them."""

    return drawn_for(budget, partial(trajectories, name), seed, PLAIN)


def trajectories(name: str, number: int, generator: torch.Generator) -> TensorDict:
    """ "states" and "rewards" of the reference."""
    given = {"condition": condition(name, number), "generator": generator}
    return roll_out(reference(name), number, target=target(name), **given).select("states", "rewards")


def losers(name: str, seed: int, budget: float, sampler: sv.Sampler) -> Data:
    """All candidates of a sampler, labelled by what its value said of them."""

    def draw(number: int, generator: torch.Generator) -> TensorDict:
        return label_candidates(sampler, _sampled(name, sampler, number, generator))

    return drawn_for(budget, draw, seed, OWN)


def survivors(name: str, seed: int, budget: float, sampler: sv.Sampler) -> Data:
    """The states that a sampler kept, labelled by the mean of their candidates' values."""

    def draw(number: int, generator: torch.Generator) -> TensorDict:
        return label_survivors(sampler, _sampled(name, sampler, number, generator), "mean")

    return drawn_for(budget, draw, seed, OWN)


def followed(name: str, seed: int, budget: float, sampler: sv.Sampler) -> Data:
    """States of trajectories that a sampler led to a random time, and the reference from there on, since that time,
    labelled by the rewards."""

    def draw(number: int, generator: torch.Generator) -> TensorDict:
        given = {"condition": condition(name, number), "generator": generator}
        return labelled(roll_on(sampler, number, **given))

    return drawn_for(budget, draw, seed, OWN)


def residuals(name: str, seed: int, budget: float) -> Data:
    """States of plain trajectories, labelled by what r(x̂_T) lacks of r: a lineage of one candidate is one."""
    look: Value = training_free(name)
    sampler = sv.svdd(reference(name), target(name), look, 1)

    def draw(number: int, generator: torch.Generator) -> TensorDict:
        return lacking(sampler, _sampled(name, sampler, number, generator))

    return drawn_for(budget, draw, seed, OWN)


def lacking(sampler: sv.Sampler, samples: Samples) -> TensorDict:
    """States of trajectories of one candidate a step, labelled by their reward less what the value said of them; one
    that is finished before T has no more of them."""
    rows = label_candidates(sampler, samples)
    steps = [each for each in (samples.history.candidates or ())[:-1] if each is not None]
    every = torch.ones(len(samples.rewards), dtype=torch.bool)
    going_on = [every if each.finished is None else ~each.finished.flatten().cpu() for each in steps]
    owners = torch.cat([each.nonzero().squeeze(1) for each in going_on])
    rewards = samples.rewards[:, 0].to(rows["rewards"])
    return rows.set("rewards", rewards[owners.to(rewards.device)] - rows["rewards"])


def labelled(trajectories: TensorDict) -> TensorDict:
    """The states x_t, t < T, of trajectories with the rewards of these; of "since" ones those from there on."""
    rewards = trajectories["rewards"]
    number, steps = len(rewards), trajectories["states"].shape[1] - 1
    times = torch.arange(steps).expand(number, -1)
    held = times >= trajectories["since"][:, None] if "since" in trajectories else torch.ones_like(times, dtype=bool)
    rows, moments = held.nonzero().unbind(dim=1)
    return of_states(trajectories["states"][rows, moments], moments, rewards[rows])


def of_states(states: State, times: Tensor, labels: Tensor) -> TensorDict:
    return TensorDict({"states": states, "times": times, "rewards": labels}, batch_size=[len(labels)])


def joined(*parts: TensorDict) -> TensorDict:
    """Labelled states of several origins."""
    return concatenate([of_states(part["states"], part["times"], part["rewards"].double()) for part in parts])


def _sampled(name: str, sampler: sv.Sampler, number: int, generator: torch.Generator) -> Samples:
    given = {"condition": condition(name, number), "generator": generator}
    return sampler.sample_candidates(number, **given)
