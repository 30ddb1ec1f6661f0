"""The pilot: plain trajectories, what they cost, and what their rewards are like."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from svlearn.advising.account import Account, Record
from svlearn.advising.draws import Drawing, scored
from svlearn.evaluation.summary import Floats
from svlearn.metering import Cost, metered
from svlearn.placement import at_home
from svlearn.process import Reference
from svlearn.randomness import device_of, seeded
from svlearn.reward import forget
from svlearn.rollouts.roll_out import roll_out
from svlearn.state import concatenate
from svlearn.targets import Target

PILOT, NOISE = 0, 1  # streams of randomness
FIRST, LEAST, MOST = 8, 32, 2048  # trajectories: of the first look, at least, at most
WARMING = 2  # trajectories before the first look, where the clock decides
REPEATED, FEWEST_REPEATED = 32, 4  # finished states that are scored twice: an eighth of all, within these
SHARE, TAUGHT = 0.15, 0.25  # of the budget: the latter where something learns from the trajectories
NEEDED = 160  # plain samples' price, that an advice takes at least
MANY = 0.5  # failures, from which on they are most


@dataclass(frozen=True)
class Pilot:
    """rewards (N,), reward units, of plain trajectories; the price of one; what a failure, r = -inf, counts as; the
    standard deviation of the reward's own noise; and how to have the trajectories themselves."""

    rewards: Floats
    price: float
    failure: float
    noise: float
    trajectories: "Trajectories"

    @property
    def scores(self) -> Floats:
        return scored(self.rewards, self.failure)

    @property
    def failed(self) -> float:
        """The share of failures."""
        return float((~np.isfinite(self.rewards)).mean())


class Trajectories:
    """The pilot's trajectories, in chunks that are drawn when they are first asked for: those of a pilot that is taken
    from a record are then drawn again, to the bit as they were."""

    def __init__(self, reference: Reference, target: Target, drawing: Drawing, account: Account):
        self.reference, self.target, self.drawing, self.account = reference, target, drawing, account
        self.sizes: list[int] = []
        self._chunks: dict[int, TensorDict] = {}

    def draw(self, chunk: int) -> tuple[TensorDict, Cost]:
        """A chunk of its size: "states" (n, T + 1, ...) and "rewards" (n,)."""
        size, device = self.sizes[chunk], device_of(self.reference)
        with metered(self.drawing.max_batch) as meter:
            self._chunks[chunk] = roll_out(
                self.reference,
                size,
                target=self.target,
                generator=seeded(device, self.drawing.seed, PILOT, chunk),
                condition=self.drawing.rows(size, sum(self.sizes[:chunk])),
            )
        return self._chunks[chunk], meter.cost

    def all(self) -> TensorDict:
        """All of them; what has to be drawn again is spent again."""
        for chunk in range(len(self.sizes)):
            if chunk not in self._chunks:
                self.account.repeated += self.draw(chunk)[1]
        return concatenate([self._chunks[chunk] for chunk in range(len(self.sizes))])


def pilot(
    reference: Reference, target: Target, drawing: Drawing, account: Account, record: Record, learns: bool = False
) -> Pilot:
    """A first look of a few trajectories, which tells the price of one, then as many as a share of the budget pays,
    which is larger where something `learns` from them.

    Of a budget in seconds a few are drawn before that, for a first call takes longer than all others.
    Raises ValueError for a budget that is too small, with what is needed; for a reward that is -inf on all of them, and
    for one that is the same on all; and what the reward raises.
    """
    trajectories = Trajectories(reference, target, drawing, account)
    parts: list[dict[str, Any]] = []

    def draw(size: int) -> float:
        """The price of one of so many."""
        chunk = len(parts)
        trajectories.sizes.append(size)
        parts.append(record.finish(f"pilot/{chunk}", lambda: _chunk(trajectories, chunk)))
        return account.prices.price(Cost(**parts[chunk]["cost"])) / size

    if account.budget.unit == "seconds":
        draw(WARMING)
    price, share = draw(FIRST), TAUGHT if learns else SHARE
    if account.budget.amount < NEEDED * price:
        raise ValueError(
            f"budget: expected at least {account.budget.written(NEEDED * price)}, what {NEEDED} plain samples cost "
            f"here, got {account.budget.written()}"
        )
    number = int(min(MOST, max(LEAST, share * account.budget.amount / price))) - FIRST
    number = record.finish("pilot/size", lambda: {"number": number})["number"]  # the clock may say another next time
    price = draw(number)
    rewards = np.array([float(each) for part in parts for each in part["rewards"]])
    _check(rewards)
    noise = record.finish("pilot/noise", lambda: _noise(trajectories))["noise"]
    return Pilot(rewards, price, failure_score(rewards), float(noise), trajectories)


def failure_score(rewards: Floats) -> float:
    """What a sample of reward -inf counts as beside these rewards: as far below the lowest finite one as that is below
    the highest, or 1 below where they are all alike, so that a constraint is judged by how often it is met."""
    finite = rewards[np.isfinite(rewards)]
    spread = float(finite.max() - finite.min())
    return float(finite.min()) - (spread if spread > 0 else 1.0)


def _chunk(trajectories: Trajectories, chunk: int) -> dict[str, Any]:
    drawn, cost = trajectories.draw(chunk)
    return {"rewards": drawn["rewards"].double().cpu().numpy(), "cost": cost}


def _check(rewards: Floats) -> None:
    finite = rewards[np.isfinite(rewards)]
    if not len(finite):
        raise ValueError(
            f"reward: expected a finite one on some plain samples, got -inf on all {len(rewards)}; nothing can be "
            "measured of an event that rare: give a larger budget, or a reward that rises towards it"
        )
    if len(finite) == len(rewards) and bool((finite == finite[0]).all()):
        raise ValueError(
            f"reward: expected one that tells samples apart, got {finite[0]:g} for all {len(rewards)} plain samples; "
            "no choice among them is worth anything"
        )


def _noise(trajectories: Trajectories) -> dict[str, Any]:
    """√(E[(r - r')²]/2) of finished states that are scored twice."""
    drawn, target = trajectories.all(), trajectories.target
    states = drawn["states"][: min(REPEATED, max(FEWEST_REPEATED, len(drawn) // 8)), -1]
    forget(target.reward)
    with torch.no_grad(), metered(trajectories.drawing.max_batch) as meter, at_home(trajectories.reference, target):
        again = target(states).double().cpu().numpy()
    first = drawn["rewards"][: len(again)].double().cpu().numpy()
    both = np.isfinite(first) & np.isfinite(again)
    gaps = np.square(first[both] - again[both])
    changed = bool((np.isfinite(first) != np.isfinite(again)).any())
    noise = math.sqrt(float(gaps.mean()) / 2) if len(gaps) else 0.0
    return {"noise": math.inf if changed else noise, "cost": meter.cost}


def noise_sentence(known: Pilot) -> str | None:
    """What is to be said of a reward that changes between calls; None of one that does not."""
    finite = known.rewards[np.isfinite(known.rewards)]
    if math.isinf(known.noise):
        return "The reward is -inf in one call and finite in another, of the same samples: it is random."
    if known.noise <= 1e-6 * max(1e-300, float(np.abs(finite).max())):
        return None
    share = min(1.0, known.noise**2 / max(1e-300, float(finite.var(ddof=1)))) if len(finite) > 1 else 1.0
    return (
        f"The reward changes between calls: scored twice, the same samples differ with a standard deviation of "
        f"{known.noise:.3g}, {100 * share:.0f} % of the variance among plain samples; whatever keeps the best score "
        "keeps lucky noise too, and its samples are worth less than they scored."
    )
