"""The processes that the overhead is measured on: a perceptron in a vector, a token and a graph process."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.inference.sampler import Sampler
from svlearn.inference.samplers import guidance, smc, svdd
from svlearn.process import Prediction, Reference
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.transitions import CategoricalTransition, GaussianTransition
from svlearn.values import Learned, PosteriorMean

STEPS, BLOCKS, DIMENSIONS, PLACES, TOKENS, ATOMS = 45, 6, 16, 16, 4, 9
KINDS = ("vectors", "tokens", "graphs")
MILLISECONDS = 5.0


class Perceptron(nn.Module):
    """Six residual blocks over the floats of a state, tokens as one-hots of `kinds`, and t; (B, outputs)."""

    def __init__(self, inputs: int, width: int, outputs: int, kinds: int):
        super().__init__()
        self.kinds = kinds
        self.into, self.out = nn.Linear(inputs + 1, width), nn.Linear(width, outputs)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(BLOCKS)
        )

    def forward(self, x: Tensor | TensorDict, t: Tensor) -> Tensor:
        leaves = [x] if isinstance(x, Tensor) else [x["atoms"], x["bonds"]]
        hot = [leaf if leaf.is_floating_point() else nn.functional.one_hot(leaf, self.kinds).float() for leaf in leaves]
        hidden = self.into(torch.cat([*(each.flatten(1) for each in hot), t[:, None] / STEPS], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.out(hidden)


class Vectors(Reference):
    """x_0 ~ N(0, 1); x_{t+1} ~ N(x_t + network/10, 0.3²), (B, 16); x̂_T is the network's output."""

    num_steps = STEPS

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(batch_size, DIMENSIONS, generator=generator)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        clean = self.network(x, t)
        return Prediction(GaussianTransition(x + 0.1 * clean, 0.3), clean=clean)


class Words(Reference):
    """x_0 uniform; all 16 places of 4 tokens are drawn anew in each step; x̂_T is the most likely word."""

    num_steps = STEPS

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        return torch.randint(TOKENS, (batch_size, PLACES), generator=generator)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        logits = self.network(x, t).view(-1, PLACES, TOKENS)
        return Prediction(CategoricalTransition(logits), clean=logits.argmax(dim=2))


class GraphNetwork(nn.Module):
    """The perceptron's outputs as the logits of atoms (B, 5, 4) and bonds (B, 10, 4), as `MaskedGraphDiffusion` reads
    them; what a step does with them is the real thing."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: TensorDict) -> tuple[Tensor, Tensor]:
        logits = self.network(x, torch.zeros(len(x))).unflatten(1, (-1, 4))
        return logits[:, :ATOMS], logits[:, ATOMS:]


class Scalar(nn.Module):
    """The first output of a network as a value, (B,)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor | TensorDict, t: Tensor) -> Tensor:
        return self.network(x, t)[:, 0]


def reward(x: Tensor | TensorDict) -> Tensor:
    """The first number, or the first token, (B,): what a reward costs is not the loop's, so that it is hardly any."""
    return (x if isinstance(x, Tensor) else x["atoms"])[:, 0].float()


@dataclass(frozen=True)
class Model:
    """A process, its two networks of one size (the process' and the value's), and a target."""

    reference: Reference
    networks: tuple[Perceptron, Perceptron]
    target: Target
    learned: Learned

    @property
    def called(self) -> tuple[nn.Module, nn.Module]:
        """What the loop calls: the reference, and the network of the value."""
        return self.reference, self.learned.network

    def sampler(self, name: str, size: int) -> Sampler:
        """One of `SAMPLERS`; size: M of svdd, K of smc, and 1 of guidance."""
        value = PosteriorMean(self.target) if name.endswith("posterior mean") else self.learned
        return SAMPLERS[name](self.reference, self.target, value, size)


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "svdd, posterior mean": svdd,
    "svdd, learned value": svdd,
    "smc, posterior mean": smc,
    "smc, learned value": smc,
    "guidance at the state, posterior mean": lambda *parts: guidance(*parts[:3], at="state"),
    "guidance at the mean, learned value": lambda *parts: guidance(*parts[:3], at="mean"),
}


def build(kind: str, width: int) -> Model:
    """The model of that kind of state with networks of that width."""
    torch.manual_seed(0)
    pairs = ATOMS * (ATOMS - 1) // 2
    inputs, outputs, kinds = {
        "vectors": (DIMENSIONS, DIMENSIONS, 0),
        "tokens": (PLACES * TOKENS, PLACES * TOKENS, TOKENS),
        "graphs": (5 * (ATOMS + pairs), 4 * (ATOMS + pairs), 5),
    }[kind]
    networks = (Perceptron(inputs, width, outputs, kinds), Perceptron(inputs, width, outputs, kinds))
    reference: Reference
    if kind == "graphs":
        reference = MaskedGraphDiffusion(GraphNetwork(networks[0]), torch.tensor([0.0] * (ATOMS - 1) + [1.0]))
    else:
        reference = (Vectors if kind == "vectors" else Words)(networks[0])
    return Model(reference, networks, Target(reward, alpha=1.0), Learned(Scalar(networks[1])))


def find_width(kind: str, states: int) -> tuple[int, float]:
    """The width at which the network takes about 5 ms of one thread for so many states, and what it takes, ms.

    From 64 on by w ← w sqrt(5 ms / time), rounded to a multiple of 8: most of the work is width by width.
    """
    width = 64
    for _ in range(5):
        taken = _milliseconds(kind, width, states)
        if abs(taken / MILLISECONDS - 1) < 0.05:
            break
        width = max(8, 8 * round(width * math.sqrt(MILLISECONDS / taken) / 8))
    return width, _milliseconds(kind, width, states)


@torch.no_grad()
def _milliseconds(kind: str, width: int, states: int) -> float:
    model, seconds = build(kind, width), []
    x = model.reference.initial(states, generator=seeded("cpu", 0))
    t = torch.zeros(states, dtype=torch.long)
    for _ in range(100):  # half a second: a shared machine is faster and slower by turns
        start = time.process_time()
        model.networks[0](x, t)
        seconds.append(time.process_time() - start)
    return 1e3 * statistics.median(seconds[10:])
