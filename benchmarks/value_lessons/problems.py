"""Five problems on which values are learned: those of `policy_objectives.tasks`, and the landscape of GB1."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

import svlearn as sv
from benchmarks.policy_objectives import tasks
from svlearn.domains.images.values import ImageValue
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.sequences.gb1 import LogFitness
from svlearn.domains.sequences.gb1.network import SiteValue
from svlearn.domains.sequences.networks import DilatedCNN
from svlearn.domains.sequences.networks.value import SequenceValue
from svlearn.values import AtSteps, PosteriorMean, Value

CANDIDATES = 10  # M of SVDD, wherever it is used
GROWING = "a growing text has no x̂_T"


@dataclass(frozen=True)
class Problem:
    """network: an untrained one, of a number of steps T. calls: of the reference and the reward together, what a
    training may take; steps: of the optimiser; number: of the samples that judge. no_prediction: why nothing is known
    of x̂_T, None where it is; gaussian: whether steps are."""

    title: str
    unit: str
    network: Callable[[int], nn.Module]
    calls: int
    steps: int
    number: int
    rate: float = 2e-3
    no_prediction: str | None = None
    gaussian: bool = False


class TextValue(nn.Module):
    """f(x_t, t), (B,), of texts: a recurrent network of the last tokens, and what it says of the latest."""

    def __init__(self, num_steps: int, vocabulary: int = 512, width: int = 48):
        super().__init__()
        self.tokens, self.times = nn.Embedding(vocabulary, width), nn.Embedding(num_steps + 1, width)
        self.recurrent, self.num_steps = nn.GRU(width, width, batch_first=True), num_steps
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, x: TensorDict, t: Tensor) -> Tensor:
        texts, length = x["text"], x["length"]
        hidden, _ = self.recurrent(self.tokens(texts.clamp(min=0)))
        latest = hidden[torch.arange(len(texts), device=texts.device), length.clamp(min=1) - 1]
        return self.out(torch.cat([latest, self.times(t)], dim=1)).squeeze(1)


def of_sequences(num_steps: int) -> nn.Module:
    return SequenceValue(DilatedCNN(width=32, depth=4, cycle=4, time_width=32), num_steps)


PROBLEMS = {
    "gb1": Problem("GB1", "log fitness", lambda num_steps: SiteValue(), 1_250, 300, 512, rate=5e-3),
    "mrl": Problem("5'UTRs", "ribosome load", of_sequences, 6_500, 120, 64),
    "qm9": Problem("QM9", "QED", lambda num_steps: GraphIsomorphismNetwork(num_steps, depth=3), 6_000, 100, 64),
    "stories": Problem("Stories", "log p(negative), nats", TextValue, 5_500, 150, 256, no_prediction=GROWING),
    "digits": Problem(
        "Digits", "log p(7), nats", lambda num_steps: ImageValue(1, num_steps), 1_100, 100, 32, gaussian=True
    ),
}


@cache
def reference(name: str) -> Any:
    return sv.load("gb1") if name == "gb1" else tasks.reference(name)


@cache
def target(name: str) -> sv.Target:
    """At alpha = 0."""
    return sv.Target(LogFitness(), 0.0) if name == "gb1" else tasks.target(name, 0.0)


def condition(name: str, number: int) -> Any:
    return None if name == "gb1" else tasks.condition(name, number)


def looks(name: str) -> tuple[int, ...]:
    """The steps at which anything is chosen; without any, all of them."""
    return () if name == "gb1" else tasks.TASKS[name].looks


def training_free(name: str) -> Value:
    """r(x̂_T), or of a text a roll-out."""
    return PosteriorMean(target(name)) if name == "gb1" else tasks.looking_ahead(name, target(name))


def svdd(name: str, value: Value) -> sv.Sampler:
    """The sampler that a value is used in, at all steps where something is chosen."""
    if looks(name) and not isinstance(value, AtSteps):
        value = AtSteps(value, looks(name))
    return sv.svdd(reference(name), target(name), value, candidates(name))


def candidates(name: str) -> int | list[int]:
    return CANDIDATES if name == "gb1" else tasks.candidates(name, CANDIDATES)
