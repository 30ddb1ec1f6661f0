"""What a choice by each value gains at each step, on trajectories that trained none of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict

from svlearn.evaluation.summary import Floats
from svlearn.metering import metered
from svlearn.process import Reference
from svlearn.randomness import device_of, seeded
from svlearn.values import Value
from svlearn.values.selection_gain import selection_gain

GAINS = 2  # a stream of randomness
MOST_STEPS = 16
FEWEST = 12  # trajectories
NEEDED = 1.64  # standard errors of the sum over the steps: one value in twenty that foresees nothing passes
OTHERS = 2  # draws that each candidate is held against


@dataclass(frozen=True)
class Foresight:
    """Of one value: gains (T,) of a choice between two candidates for x_t, t = 0 ... T - 1, reward units, between the
    steps that were looked at linear; their sum over these, its standard error, and how many these are."""

    gains: Floats
    total: float
    error: float
    looked: int

    @property
    def foresees(self) -> bool:
        """Whether the sum is above 0 beyond noise."""
        return self.total > NEEDED * self.error

    @property
    def at_most(self) -> float:
        """What such choices at all T steps gain at most, but for noise: those between are like those looked at."""
        return (self.total + NEEDED * self.error) * len(self.gains) / self.looked

    def sentence(self, name: str) -> str:
        return (
            f"a choice between two candidates by {name} gains {self.total:+.3g} ± {self.error:.2g} in reward, over the "
            "steps that were looked at"
        )


def steps_of(num_steps: int) -> list[int]:
    """Those of t = 0 ... T - 1 that are looked at: all, or so many evenly spread."""
    number = min(num_steps, MOST_STEPS)
    return sorted({round(place) for place in np.linspace(0, num_steps - 1, number).tolist()})


def calls_of_gains(num_steps: int, reads: bool, rewards: int) -> dict[str, float]:
    """The calls of one trajectory's part in the gains of a value that reads predictions, and asks for so many rewards
    of its own a state."""
    steps = len(steps_of(num_steps))
    looks = steps * (1 + OTHERS)
    return {
        "reference_calls": steps + (looks if reads else 0.0),
        "value_calls": float(looks),
        "reward_calls": float(looks * rewards),
    }


def measure(
    name: str,
    value: Value,
    reference: Reference,
    trajectories: TensorDict,
    scores: Floats,
    *,
    seed: int,
    max_batch: int | None,
    steps: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The table of `selection_gain` of a value, with its name, and what it cost, as a part of the record."""
    generator = seeded(device_of(reference), seed, GAINS)
    with metered(max_batch) as meter:
        table = selection_gain(
            [value],
            reference,
            trajectories,
            rewards=torch.from_numpy(np.ascontiguousarray(scores)),
            steps=steps_of(reference.num_steps) if steps is None else steps,
            num_others=OTHERS,
            generator=generator,
        )
    return {"table": table.assign(value=name).to_dict("list"), "cost": meter.cost}


def foresight_of(rows: pd.DataFrame, num_steps: int) -> Foresight:
    """What such a table says of its value. Choices of different steps are told apart by different draws, so that
    where a value foresees nothing their gains are uncorrelated, and the variance of the sum is the sum."""
    steps: Sequence[float] = rows["t"].tolist()
    gains = rows["gain"].to_numpy(dtype=float)
    errors = rows["gain_error"].to_numpy(dtype=float)
    significant = np.where(gains > errors, gains, 0.0)  # of noise a schedule would make steps of its own
    return Foresight(
        np.interp(np.arange(num_steps), steps, significant),
        float(gains.sum()),
        math.sqrt(float((errors**2).sum())),
        len(steps),
    )
