"""Values that an advice trains itself, on the pilot's trajectories."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn import checkpoints
from svlearn.advising.budget import Budget
from svlearn.advising.candidates import rewards_of
from svlearn.advising.network import Perceptron
from svlearn.metering import metered
from svlearn.objectives import MonteCarloRegression
from svlearn.objectives.fit import fit
from svlearn.process import Reference
from svlearn.randomness import global_draws_from, seeded
from svlearn.rollouts.in_memory import InMemoryData
from svlearn.targets import Target
from svlearn.trajectories import in_one_pass
from svlearn.values import Learned, Value, save_value
from svlearn.values.value import copy_of

WEIGHTS, ORDER = 3, 4  # streams of randomness
STEPS = {"seconds": 400, "calls": 1200}  # of the optimiser, at most: where calls are paid, a fit costs only its time
FEWEST_STEPS = 20
BATCH = 64  # trajectories
TIMES = 8  # of each
RATE, TOGETHER = 3e-3, 1.2  # the learning rate at most, and what it comes to over all steps


def default_value(trajectories: TensorDict, scores: Tensor, seed: int) -> Value | None:
    """A `Learned` value with a perceptron for these trajectories; None where there is none for such states."""
    states = trajectories["states"]
    if not isinstance(states, Tensor):
        return None
    with global_draws_from(seeded("cpu", seed, WEIGHTS)):
        network = Perceptron.fitted_to(states.cpu(), scores)
    return None if network is None else Learned(network)


def train(
    value: Value,
    reference: Reference,
    target: Target,
    trajectories: TensorDict,
    scores: np.ndarray,
    *,
    seed: int,
    steps: int,
    seconds: float | None,
) -> tuple[Value, dict[str, Any]]:
    """A copy of a value, fitted to the mean value E[r | x_t] along these trajectories, and the part of the record.

    scores (N,): what is regressed on, -inf replaced. steps: of the optimiser; seconds: the longest that they may take,
    None for as long as they do.
    """
    own = copy_of(value).train()
    data = TensorDict(
        {"states": trajectories["states"], "rewards": torch.from_numpy(np.ascontiguousarray(scores)).float()},
        batch_size=[len(trajectories)],
    )
    times, rate = min(TIMES, reference.num_steps), min(RATE, TOGETHER / steps)
    objective = MonteCarloRegression(reference, target, own, num_times=times, batch_size=BATCH, learning_rate=rate)
    limits: dict[str, Any] = {} if seconds is None else {"max_time": timedelta(seconds=max(1.0, seconds))}
    stored = InMemoryData(data, batch_size=BATCH, seed=seed, stream=ORDER)  # other trajectories judge
    with metered() as meter:
        fit(objective, max_steps=steps, seed=seed, data=stored, enable_progress_bar=False, devices=1, **limits)
    own.eval().requires_grad_(False)
    return own, {"steps": steps, "cost": meter.cost}


def price_of_look(value: Value, target: Target, prices: Mapping[str, float]) -> float:
    """What a training pays, by the prices of calls, for one look at a state: the value's call, and what it asks of the
    reference and the reward."""
    rewards, references = rewards_of(value, target), int(value.needs_prediction)
    return prices["value_calls"] + references * prices["reference_calls"] + rewards * prices["reward_calls"]


def steps_for(
    budget: Budget, share: float, value: Value, reference: Reference, target: Target, per_call: Mapping[str, float]
) -> int:
    """The steps of a training whose calls, each at a price, may come to a share of a budget: STEPS at most.

    Raises ValueError where FEWEST_STEPS of a value that reads predictions, each a call of the reference, come to more.
    """
    times = min(TIMES, reference.num_steps)
    along = value.needs_prediction and in_one_pass(reference, range(times))  # then all states of a trajectory are asked
    price = price_of_look(value, target, per_call) * BATCH * (reference.num_steps if along else times)
    if value.needs_prediction and FEWEST_STEPS * price > share:
        raise ValueError(
            f"{FEWEST_STEPS} steps of its training would cost {budget.written(FEWEST_STEPS * price)} in predictions, "
            f"over its share of {budget.written(share)}"
        )
    most = STEPS[budget.unit]
    return most if price == 0 else max(FEWEST_STEPS, min(most, int(share / price)))


def keep(value: Value, path: Path, reference: Reference, recipe: dict[str, Any] | None) -> str | None:
    """Write a trained value, which a recipe (None: what can be said of it) builds; why it was not, else None."""
    try:
        save_value(value, path, reference, recipe=recipe, objective="MonteCarloRegression")
    except ValueError as error:
        return str(error)
    return None


def taken_back(value: Value, path: Path) -> Value | None:
    """A copy of a value with the weights that `keep` has written of it; None where there are none."""
    if not path.is_file():
        return None
    own = copy_of(value)
    checkpoints.load_into(own.network if type(own) is Learned else own, path)
    return own.eval().requires_grad_(False)
