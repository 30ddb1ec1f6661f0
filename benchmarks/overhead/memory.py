"""The memory of M = 100 candidates over that of M = 10, where `max_batch` is set: peaks of fresh processes.

    python -m benchmarks.overhead.memory "svdd, posterior mean" 100     # one of them, as a line of JSON

Eight lineages, or four groups of two particles, of images (1024 places of 3 numbers) go through two steps with at
most 80 states in a network call. The network is a perceptron with 512 hidden numbers at each place, so that its
activations dominate: 2 MB a state in each of them, and 12 kB the state itself. The peak is `Cost.peak_memory_bytes`;
the start is what the process held before, all libraries loaded and one small run made.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common.paths import ROOT
from svlearn.inference.proposals import Guided
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import beam_search, smc, svdd
from svlearn.metering import metered
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import GaussianTransition
from svlearn.values import Learned, PosteriorMean

PLACES, COLOURS, HIDDEN, STEPS, MAX_BATCH = 1024, 3, 512, 2, 80
FEW, MANY = 10, 100


def perceptron() -> nn.Module:
    """A map at each place, the same everywhere."""
    return nn.Sequential(nn.Linear(COLOURS, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, COLOURS))


class Images(Reference):
    """x_0 ~ N(0, 1); x_{t+1} ~ N(x_t + network/10, 0.3²), (B, 1024, 3); x̂_T is the network's output."""

    num_steps = STEPS

    def __init__(self) -> None:
        super().__init__()
        self.network = perceptron()

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(batch_size, PLACES, COLOURS, generator=generator)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        clean = self.network(x)
        return Prediction(GaussianTransition(x + 0.1 * clean, 0.3), clean=clean)


class Brightness(nn.Module):
    """The mean of the network's output, (B,)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = perceptron()

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x).mean(dim=(1, 2))


REFERENCE, TARGET = Images(), Target(lambda x: x.mean(dim=(1, 2)), alpha=0.1)
FREE, LEARNED = PosteriorMean(TARGET), Learned(Brightness())
PARTS = REFERENCE, TARGET
SAMPLERS: dict[str, tuple[int, Callable[[int], Sampler]]] = {  # the groups, and the sampler of M
    "svdd, posterior mean": (8, lambda m: svdd(*PARTS, FREE, m)),
    "svdd, learned value": (8, lambda m: svdd(*PARTS, LEARNED, m)),
    "svdd, posterior mean, guided at the state": (8, lambda m: svdd(*PARTS, FREE, m, Guided(FREE))),
    "svdd, learned value, guided at the mean": (8, lambda m: svdd(*PARTS, LEARNED, m, Guided(LEARNED))),
    "nested smc, posterior mean": (4, lambda m: smc(*PARTS, FREE, 2, num_candidates=m)),
    "beam search, posterior mean": (4, lambda m: beam_search(*PARTS, FREE, 2, m)),
}


def peak(name: str, size: int) -> dict[str, int]:
    """Bytes, of a run in this process."""
    torch.set_num_threads(1)
    groups, make = SAMPLERS[name]
    make(2).sample(1, generator=seeded("cpu", 0))
    with metered() as meter:
        pass
    samples = make(size).sample(groups, generator=seeded("cpu", 0), max_batch=MAX_BATCH)
    return {"peak_bytes": samples.cost.peak_memory_bytes, "start_bytes": meter.cost.peak_memory_bytes}


def measure() -> list[dict[str, Any]]:
    """The peaks of all samplers at both M, each in a process of its own."""
    entries = []
    for name, (groups, _) in SAMPLERS.items():
        few, many = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.overhead.memory", name, str(size)],
                    cwd=ROOT,
                    check=True,
                    capture_output=True,
                ).stdout
            )
            for size in (FEW, MANY)
        )
        above = (each["peak_bytes"] - each["start_bytes"] for each in (many, few))
        entries.append(
            {
                "sampler": name,
                "groups": groups,
                "max_batch": MAX_BATCH,
                "few": {"candidates": FEW, **few},
                "many": {"candidates": MANY, **many},
                "ratio": many["peak_bytes"] / few["peak_bytes"],
                "ratio_above_start": next(above) / next(above),
            }
        )
    return entries


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampler", choices=SAMPLERS)
    parser.add_argument("candidates", type=int)
    options = parser.parse_args()
    print(json.dumps(peak(options.sampler, options.candidates)))
