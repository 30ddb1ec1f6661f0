"""What the rows of the study of sequences learn from, and the values that they learn."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytorch_lightning as pl
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock, since
from benchmarks.common.paths import RUNS as ALL_RUNS
from benchmarks.sequences.problems import PROBLEMS, Problem, close, process
from svlearn.checkpoints import load_value, save_value
from svlearn.domains.sequences.networks import DilatedCNN
from svlearn.domains.sequences.networks.value import SequenceValue
from svlearn.files import write
from svlearn.fingerprint import fingerprint
from svlearn.objectives import ContrastiveTwist, MonteCarloRegression, Objective
from svlearn.objectives.fit import fit
from svlearn.randomness import seeded
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.batches import Batches, Shuffled
from svlearn.values import Learned

RUNS = ALL_RUNS / "sequences"
NUM_TRAJECTORIES, SEED = 2560, 0
WIDTH, DEPTH, TIME_WIDTH = 32, 4, 32
STEPS, BATCH, RATE, NUM_TIMES = 400, 256, 2e-3, 2  # few states of many trajectories: those of one share its reward
FRESH_BATCH, FRESH_TIMES, FRESH_STEPS = 64, 8, 100  # of the authors' training


class Standardised(nn.Module):
    """location + spread · network(x, t), (B,)."""

    location: Tensor
    spread: Tensor

    def __init__(self, network: nn.Module, location: float = 0.0, spread: float = 1.0):
        super().__init__()
        self.network = network
        self.register_buffer("location", torch.tensor(location))
        self.register_buffer("spread", torch.tensor(spread))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.location + self.spread * self.network(x, t)


class Stored(pl.LightningDataModule):
    """Batches of trajectories, {states (B, T + 1, L), rewards (B,)}, in an order of their own in each epoch."""

    def __init__(self, trajectories: TensorDict):
        super().__init__()
        self.trajectories = trajectories

    def train_dataloader(self) -> Batches:
        number = len(self.trajectories)
        order = Shuffled(torch.arange(number), lambda: seeded("cpu", SEED))
        return Batches(self.trajectories, order, number, BATCH, self, drop_last=True)


@cache
def rollouts(reference: str) -> Rollouts:
    """Trajectories of a reference, the same ones for each of its rewards."""
    path = RUNS / reference / "rollouts"
    return collect(process(reference), NUM_TRAJECTORIES, path, batch_size=128, seed=SEED, progress=False)


@cache
def trajectories(problem: str) -> TensorDict:
    """Those with their rewards."""
    own, states = PROBLEMS[problem], rollouts(PROBLEMS[problem].reference).states
    target = own.target()
    with torch.no_grad():
        rewards = torch.cat([target(states[i : i + 128, -1]) for i in range(0, len(states), 128)])
    close(target)
    return TensorDict({"states": states, "rewards": rewards}, batch_size=[len(states)])


def network(problem: Problem, reads_time: bool = True) -> Standardised:
    """An untrained value of that problem's reference, about its mean reward."""
    torch.manual_seed(SEED)  # of the network's first weights
    steps = process(problem.reference).num_steps
    body = DilatedCNN(width=WIDTH, depth=DEPTH, cycle=DEPTH, time_width=TIME_WIDTH if reads_time else 0)
    rewards = trajectories(problem.name)["rewards"]
    return Standardised(SequenceValue(body, steps), float(rewards.mean()), float(rewards.std()))


def monte_carlo(problem: Problem, value: Learned) -> Objective:
    given = dict(learning_rate=RATE, batch_size=BATCH, num_times=NUM_TIMES)
    return MonteCarloRegression(process(problem.reference), problem.target(), value, **given)


def contrastive_twist(problem: Problem, value: Learned) -> Objective:
    """At an alpha of one spread: by a smaller one a few of a batch would be all positives."""
    given = dict(learning_rate=RATE, batch_size=BATCH, num_times=NUM_TIMES)
    return ContrastiveTwist(process(problem.reference), problem.target(problem.spread), value, **given)


def as_the_authors(problem: Problem, value: Learned) -> Objective:
    """As the code of SVDD has it: fresh trajectories of the reference at every step, x_t in, r(x_T) out, no time."""
    given = dict(learning_rate=RATE, batch_size=FRESH_BATCH, num_times=FRESH_TIMES)
    return MonteCarloRegression(process(problem.reference), problem.target(), value, **given)


FAMILIES: dict[str, Callable[[Problem, Learned], Objective]] = {
    "monte_carlo": monte_carlo,
    "contrastive_twist": contrastive_twist,
    "authors": as_the_authors,
}


def learned(name: str, family: str) -> Learned:
    """The value of a family for a problem, trained where there is none yet; a note beside it says what that took."""
    problem, file = PROBLEMS[name], RUNS / name / f"{family}.safetensors"
    reference, fresh = process(problem.reference), family == "authors"
    sizes = (FRESH_STEPS, FRESH_BATCH, FRESH_TIMES) if fresh else (STEPS, BATCH, NUM_TIMES, NUM_TRAJECTORIES)
    made_of = {"width": WIDTH, "depth": DEPTH, "sizes": sizes, "rate": RATE, "seed": SEED}
    if missing(file, reference=fingerprint(reference), **made_of):
        own = network(problem, not fresh)
        objective = FAMILIES[family](problem, Learned(own))
        start = clock()
        data = None if fresh else Stored(trajectories(name))
        fit(objective, max_steps=FRESH_STEPS if fresh else STEPS, seed=SEED, data=data, enable_progress_bar=False)
        note(file, start)
        close(objective.target)
        save_value(own, file, reference)
    return Learned(load_value(network(problem, not fresh), file, reference).eval().requires_grad_(False))


def note(file: Path, start: tuple[float, float]) -> None:
    """What a training took, beside what it made."""
    write(file.with_suffix(".json"), json.dumps(since(start)))
