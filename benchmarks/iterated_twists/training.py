"""The trainings of the study, looked at after every round."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch

from benchmarks.common.clock import clock, since
from benchmarks.iterated_twists.problems import Problem
from svlearn.metering import KINDS, metered
from svlearn.objectives import ContrastiveTwist, IteratedTwist, Objective
from svlearn.objectives.fit import fit

ROUNDS, STEPS, DRAWN, BATCH = 8, 32, 2_048, 256  # steps and trajectories drawn in a round; a batch of those held
GROUP = 64  # particles of the SMC that draws them
FRESH = DRAWN // STEPS  # trajectories a step, where each is looked at once
ITERATED, CONTRASTIVE, BY_SMC = "iterated twist", "contrastive twist", "contrastive twist, positives by SMC"


def iterated(problem: Problem) -> Objective:
    own: dict[str, Any] = dict(round_size=DRAWN, inner_steps=STEPS, num_particles=GROUP, batch_size=BATCH)
    return IteratedTwist(*parts(problem), **common(problem), **(own | problem.options))


def contrastive(problem: Problem) -> Objective:
    return ContrastiveTwist(*parts(problem), **common(problem), batch_size=FRESH)


def contrastive_by_smc(problem: Problem) -> Objective:
    """Half of its trajectories are of p_ref, the others of SMC with the twist as it is."""
    return ContrastiveTwist(*parts(problem), **common(problem), batch_size=FRESH // 2, positives="smc")


METHODS: dict[str, Callable[[Problem], Objective]] = {
    ITERATED: iterated,
    CONTRASTIVE: contrastive,
    BY_SMC: contrastive_by_smc,
}


def parts(problem: Problem) -> tuple[Any, ...]:
    return problem.reference, problem.target, problem.value()


def common(problem: Problem) -> dict[str, Any]:
    return {"learning_rate": problem.rate, "conditions": problem.conditions}


class ByRound(pl.Callback):
    """Judges the value before the first step and after every round; what that costs is told apart."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.rounds: list[dict[str, Any]] = []
        self.spent: dict[str, float] = dict.fromkeys([*KINDS, "seconds", "cpu_seconds"], 0.0)

    def on_train_start(self, trainer: pl.Trainer, objective: Any) -> None:
        self.judge(objective)

    def on_train_batch_end(self, trainer: pl.Trainer, objective: Any, *given: Any) -> None:
        if trainer.global_step % STEPS == 0:
            self.judge(objective)

    def judge(self, objective: Any) -> None:
        start = clock()
        with metered() as meter:
            found = self.problem.judged(objective.value)
        for name, amount in {**meter.calls, **since(start)}.items():
            self.spent[name] += amount
        if self.rounds and isinstance(objective, IteratedTwist):
            found |= {name: getattr(objective.region, name) for name in ("beta", "kl", "ess")}
        self.rounds.append(found)


def learn(problem: Problem, method: str, seed: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures by round, from before the first one on, and what the training took without them."""
    torch.manual_seed(seed)  # of the network's first weights
    objective, callback = METHODS[method](problem), ByRound(problem)
    start = clock()
    with metered() as meter:
        fit(objective, max_steps=rounds * STEPS, seed=seed, enable_progress_bar=False, callbacks=[callback])
    spent = {**meter.calls, **since(start)}
    return {"rounds": callback.rounds, "spent": {name: spent[name] - callback.spent[name] for name in spent}}
