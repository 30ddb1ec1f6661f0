"""Samples of one sampler, for a pilot: their rewards, what else is seen of them, and what they cost."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from svlearn.evaluation.divergence import reference_kl
from svlearn.evaluation.summary import Floats, log_mean_exp
from svlearn.inference.sampler import Sampler
from svlearn.inference.samples import Samples
from svlearn.metering import Cost, metered
from svlearn.process import Reference, has
from svlearn.randomness import device_of, seeded
from svlearn.reward import forget
from svlearn.state import State, number_of_rows, take
from svlearn.targets import Target


@dataclass(frozen=True)
class Draws:
    """rewards (n,), reward units, as the target gave them; cost of all; figures: what else was seen, by name, and what
    it cost to see it, which is no part of a sample's price."""

    rewards: Floats
    cost: Cost
    figures: Mapping[str, float]
    of_figures: Cost = field(default_factory=Cost)

    def as_part(self) -> dict[str, Any]:
        """As `Record` holds it, with the cost of all as what is spent."""
        own = {"rewards": self.rewards, "figures": dict(self.figures), "of_figures": asdict(self.of_figures)}
        return {**own, "of_samples": asdict(self.cost), "cost": self.cost + self.of_figures}

    @classmethod
    def of_part(cls, part: Mapping[str, Any]) -> "Draws":
        figures = {name: _number(each) for name, each in part["figures"].items()}
        rewards = np.array([_number(each) for each in part["rewards"]])
        return cls(rewards, Cost(**part["of_samples"]), figures, Cost(**part["of_figures"]))

    @classmethod
    def cat(cls, one: "Draws", other: "Draws") -> "Draws":
        """Of two runs; the figures are those of the larger."""
        figures = one.figures if len(one.rewards) > len(other.rewards) else other.figures
        rewards = np.concatenate([one.rewards, other.rewards])
        return cls(rewards, one.cost + other.cost, figures, one.of_figures + other.of_figures)


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn: the seed of all, the conditions, if any, and the largest batch."""

    seed: int
    condition: Any = None
    max_batch: int | None = None

    @property
    def turn(self) -> int:
        """After how many samples the conditions begin again."""
        return 1 if self.condition is None else number_of_rows(self.condition)

    def whole(self, number: int) -> int:
        """The least number of whole turns that is no less."""
        return -(-number // self.turn) * self.turn

    def rows(self, number: int, first: int = 0) -> Any:
        """The conditions of the samples first ... first + number - 1: each in its turn, then again from the first."""
        if self.condition is None:
            return None
        return take(self.condition, (first + torch.arange(number)) % self.turn)

    def draw(self, sampler: Sampler, number: int, *stream: int, first: int = 0) -> Draws:
        """`number` samples by the stream (seed, *stream), the same for every sampler that is drawn by it."""
        target = cast(Target, sampler.target)
        forget(target.reward)
        generator = seeded(device_of(sampler.reference), self.seed, *stream)
        options: dict[str, Any] = {"condition": self.rows(number, first), "max_batch": self.max_batch}
        samples = sampler.sample(number, generator=generator, **options)
        states, rewards = samples.draw_with_rewards(generator=generator)
        with metered(self.max_batch) as meter:
            figures = _figures(samples, target, sampler.reference, states)
        return Draws(rewards.double().cpu().numpy(), samples.cost, figures, meter.cost)


def scored(rewards: Floats, failure: float) -> Floats:
    """What samples count as: their rewards, and `failure` for one of -inf."""
    return np.where(np.isfinite(rewards), rewards, failure)


def _figures(samples: Samples, target: Target, reference: Reference, states: State) -> dict[str, float]:
    figures = {"distinct": _distinct(states)}
    if samples.log_normalizer is not None:
        figures["log_normalizer_nats"] = log_mean_exp(samples.log_normalizer.double().cpu().numpy())[0]
        if target.alpha > 0:
            figures["kl_to_reference_nats"] = reference_kl(samples, target.alpha)[0]
    if has(reference, "decode") and has(reference, "describe"):
        try:
            described = reference.describe(reference.decode(states))
        except Exception:  # whatever a user's code may raise: the rewards do not need it
            described = {}
        figures |= {str(name): float(figure) for name, figure in described.items()}
    return figures


def _distinct(states: State) -> float:
    """The share of distinct ones among finished states (B, ...): what is left of diversity where nothing else tells."""
    leaves = [states] if isinstance(states, Tensor) else list(cast(Any, states).values(True, True))
    rows = torch.cat([leaf.reshape(len(leaf), -1).double() for leaf in cast(list[Tensor], leaves)], dim=1)
    return len(rows.unique(dim=0)) / len(rows)


def _number(entry: Any) -> float:
    """What strict JSON holds: NaN is null, an infinity a text."""
    return math.nan if entry is None else float(entry)
