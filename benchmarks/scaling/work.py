"""One piece of work in the processes that torchrun has started: prints the seconds that it takes on the wall.

torchrun --nproc-per-node 2 -m benchmarks.scaling.work sampling
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

import svlearn as sv
from svlearn.domains.analytic import LinearGaussianChain
from svlearn.process_group import gathered, joined, number, size
from svlearn.scoring import Codec, ScoredReward, Scorer

SAMPLES, BLOCK, BEST_OF = 16, 4, 4
STEPS, TRAJECTORIES, WIDTH = 25, 256, 512  # of a training: of all processes together, and of its network
OBJECTS, LOOP = 256, 200_000  # scored, and additions for each


class Network(nn.Module):
    """A perceptron of (x, t)."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs + 1, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1)
        )

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([x.float(), t[:, None].float()], dim=1)).squeeze(1)


def sampling() -> Callable[[], Any]:
    reference = sv.load("utr5")
    target = sv.Target(lambda x: (x == 0).double().mean(dim=1), 1.0)
    samplers = {"best of n": sv.best_of_n(reference, target, BEST_OF)}
    return lambda: sv.compare(samplers, SAMPLES, block_size=BLOCK, together=size() > 1)


def training() -> Callable[[], Any]:
    chain = LinearGaussianChain.random(4, 8, seed=0)
    value = sv.values.Learned(Network(4))
    options: dict[str, Any] = {"batch_size": TRAJECTORIES // size()}
    objective = sv.objectives.MonteCarloRegression(chain, chain.target(1.0), value, **options)
    settings: dict[str, Any] = {"max_steps": STEPS, "enable_progress_bar": False, "accelerator": "cpu"}
    if size() > 1:
        settings |= {"devices": size(), "strategy": DDPStrategy(process_group_backend="gloo")}
    return lambda: sv.fit(objective, **settings)


class Numbers(Codec):
    """A state is a number."""

    noun = "number"

    def keys(self, states: Any) -> list[bytes]:
        return [str(int(each)).encode() for each in states]

    def text(self, key: bytes) -> str:
        return key.decode()


def added(text: str) -> float:
    """Some work of a processor."""
    return float(sum(range(LOOP + int(text) % 2)))


def scoring(workers: int) -> Callable[[], Any]:
    reward = ScoredReward(Scorer(added, Numbers(), num_workers=workers))
    reward(torch.arange(1_000_000, 1_000_000 + 2 * workers))  # the pool has started
    return lambda: reward(torch.arange(OBJECTS))


def main(kind: str, workers: int) -> None:
    torch.set_num_threads(1)
    with joined():
        work = scoring(workers) if kind == "scoring" else {"sampling": sampling, "training": training}[kind]()
        gathered(None)  # all are ready
        start = time.perf_counter()
        work()
        gathered(None)
        if number() == 0:
            print(f"seconds {time.perf_counter() - start}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
