"""Policies that an advice trains itself, on samples of their own."""

import copy
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from svlearn import checkpoints
from svlearn.advising.budget import Budget
from svlearn.evaluation.summary import Floats
from svlearn.fingerprint import fingerprint
from svlearn.metering import metered
from svlearn.objectives import ProximalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Policy
from svlearn.process import Reference
from svlearn.targets import Target

STEPS, FEWEST_STEPS = 400, 16
BATCH, MINIBATCHES, EPOCHS = 16, 2, 4  # an iteration draws 32 trajectories, and learns four times from each
ITERATION = MINIBATCHES * EPOCHS  # steps, whose trajectories are drawn at its beginning
TIMES = 4  # moves of each that a step looks at
SHARE_OF_SPREAD = 0.25  # at alpha = 0, where p* is a point: what is trained for instead, in standard deviations of r


def train(
    policy: Policy,
    reference: Reference,
    target: Target,
    scores: Floats,
    *,
    condition: Any,
    seed: int,
    steps: int,
    seconds: float | None,
) -> tuple[Policy, dict[str, Any]]:
    """A copy of a policy that has climbed the ELBO by `ProximalPolicyGradient`, and the part of the record.

    scores (N,), reward units, of plain samples: at α = 0 a quarter of their standard deviation takes its place, for no
    policy with noise has a p* that is a point. condition: rows, in turns, None for none. steps: of the optimiser;
    seconds: the longest that they may take, None for as long as they do. Raises ValueError where these end it before
    FEWEST_STEPS.
    """
    own = copy.deepcopy(policy, {id(policy.reference): reference})
    alpha = target.alpha if target.alpha > 0 else SHARE_OF_SPREAD * float(np.std(scores))
    options: dict[str, Any] = {} if condition is None else {"conditions": condition}
    objective = ProximalPolicyGradient(
        reference,
        Target(target.reward, alpha),
        own,
        num_minibatches=MINIBATCHES,
        num_epochs=EPOCHS,
        num_times=min(TIMES, reference.num_steps),
        batch_size=BATCH,
        **options,
    )
    limits: dict[str, Any] = {} if seconds is None else {"max_time": timedelta(seconds=max(1.0, seconds))}
    with metered() as meter:
        fit(objective, max_steps=steps, seed=seed, enable_progress_bar=False, devices=1, **limits)
    made = objective.trainer.global_step
    if made < FEWEST_STEPS:
        least = f"{FEWEST_STEPS} are the least"
        raise ValueError(f"{made} steps of its training took its share of {seconds:.3g} s, {least}")
    return own.eval(), {"steps": made, "cost": meter.cost}


def steps_for(budget: Budget, share: float, reference: Reference, price: Callable[[Mapping[str, float]], float]) -> int:
    """The steps of a training whose calls may come to a share of a budget, at price(calls by kind): STEPS at most, and
    whole iterations.

    An iteration draws trajectories by both processes, scores each once, and asks both again at the moves that its steps
    look at. Raises ValueError where FEWEST_STEPS come to more.
    """
    drawn = BATCH / EPOCHS
    asked = drawn * reference.num_steps + BATCH * min(TIMES, reference.num_steps)
    of_a_step = price({"reference_calls": asked, "policy_calls": asked, "reward_calls": drawn})
    if FEWEST_STEPS * of_a_step > share:
        raise ValueError(
            f"{FEWEST_STEPS} steps of its training would cost {budget.written(FEWEST_STEPS * of_a_step)}, over its "
            f"share of {budget.written(share)}"
        )
    most = STEPS if of_a_step == 0 else min(STEPS, int(share / of_a_step))
    return most - most % ITERATION


def keep(policy: Policy, path: Path, reference: Reference) -> None:
    """Write a trained policy, for `svlearn.load_policy`."""
    record = {"reference": fingerprint(reference), "num_steps": reference.num_steps}
    checkpoints.save(policy, path, **record, objective="ProximalPolicyGradient")


def taken_back(policy: Policy, path: Path, reference: Reference) -> Policy | None:
    """A copy of a policy with the weights that `keep` has written of it; None where there are none."""
    if not path.is_file():
        return None
    own = copy.deepcopy(policy, {id(policy.reference): reference})
    return checkpoints.load_policy(own, path, reference)
