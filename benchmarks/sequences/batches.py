"""Batches of the rows of the study of sequences: sequences, their rewards, and what they cost."""

from statistics import fmean

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.common.results import Results
from benchmarks.sequences.problems import PROBLEMS, close, process
from benchmarks.sequences.rows import PRETRAINED, ROWS, N
from benchmarks.sequences.trained import trajectories
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.randomness import seeded

EMPTY: dict = {"batches": {}, "judged": {}, "data": {}, "training": {}, "speed": {}, "authors": {}}
RESULTS = Results("sequences", EMPTY)
BATCH, NUM_BATCHES, SEED, TUNING_SEED, TUNED_ON = 64, 4, 1, 1000, 16


def key(problem: str, row: str, seed: int, batch: int) -> str:
    return f"{problem}/{row}/{seed}/{batch}"


def draw(problem: str, row: str, seed: int, batch: int, strength: float | None = None, number: int = BATCH) -> dict:
    """A batch of a row: sequences, their rewards, and calls and seconds a sequence."""
    own, kind = PROBLEMS[problem], ROWS[row]
    if kind.stored:
        states, rewards, spent = best_of_stored(problem, batch, number)
    else:
        sampler = kind.make(own, *([] if strength is None else [strength]))
        states, rewards, spent = priced(sampler, number, seeded("cpu", seed, batch))
    return {
        "rewards": [round(each, 4) for each in rewards.tolist()],
        "sequences": process(own.reference).decode(states),
        "per_sequence": {name: amount / number for name, amount in spent.items()},
        **({} if strength is None else {"strength": strength}),
        "provenance": provenance(),
    }


def priced(sampler: sv.Sampler, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor, dict]:
    """So many sequences, one of each group, their rewards, and all calls and seconds."""
    start = clock()
    samples = sampler.sample(number, generator=generator)
    states, rewards = samples.draw_with_rewards(generator=generator)
    if sampler.target is not None:
        close(sampler.target)  # whose seconds count once its workers have ended
    return states, rewards, {each: getattr(samples.cost, each) for each in KINDS} | since(start)


def best_of_stored(problem: str, batch: int, number: int) -> tuple[Tensor, Tensor, dict]:
    """The best of each ten of the stored trajectories, at what ten of the row `pretrained` cost."""
    own, rows = trajectories(problem), slice(batch * number * N, (batch + 1) * number * N)
    states, rewards = own["states"][rows, -1], own["rewards"][rows]
    best = rewards.view(number, N).argmax(dim=1) + torch.arange(number) * N
    return states[best], rewards[best], {name: each * N * number for name, each in plain_costs(problem).items()}


def plain_costs(problem: str) -> dict[str, float]:
    """Calls and seconds a sequence of the row `pretrained`, the mean over its batches."""
    held = RESULTS.read()["batches"]
    costs = [each["per_sequence"] for name, each in held.items() if name.startswith(f"{problem}/{PRETRAINED}/")]
    if not costs:
        raise ValueError(f"rows: expected {PRETRAINED!r} of {problem} to be drawn first, which prices others, got none")
    return {name: fmean(each[name] for each in costs) for name in costs[0]}
