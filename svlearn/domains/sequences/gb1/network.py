"""Denoisers of the four sites: a small perceptron, and one that knows each site alone."""

from itertools import pairwise

from torch import Tensor, nn

from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1.protein import LENGTH
from svlearn.domains.sequences.networks.reading import one_hot


class SiteNetwork(nn.Module):
    """p(x_T | x_t) site by site: (x, moments (B,)) -> logits (B, 4, 20); x: tokens (B, 4) or soft one-hots (B, 4, 21).

    It reads no time: how much is masked tells it (arXiv 2406.04329).
    """

    reads_time = False

    def __init__(self, width: int = 128, depth: int = 2):
        super().__init__()
        self.hyperparameters = dict(width=width, depth=depth)
        widths = [LENGTH * (PROTEIN.size + 1), *[width] * depth]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU())]
        self.body = nn.Sequential(*layers, nn.Linear(width, LENGTH * PROTEIN.size))

    @classmethod
    def from_weights(cls, weights: dict[str, Tensor]) -> "SiteNetwork":
        """The network of a state_dict; what it does not say of its shape is in the shapes of its weights."""
        matrices = [each for each in weights.values() if each.dim() == 2]
        network = cls(width=len(matrices[0]), depth=len(matrices) - 1)
        network.load_state_dict(weights)
        return network

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.body(one_hot(x, PROTEIN.size, next(self.parameters()).dtype).flatten(1)).unflatten(
            1, (LENGTH, PROTEIN.size)
        )


class SiteValue(nn.Module):
    """v_t(x_t), (B,), of tokens (B, 4) or their soft one-hots (B, 4, 21), at t (B,): a perceptron that starts at 0.

    How much is masked tells it the time.
    """

    def __init__(self, width: int = 128, depth: int = 2):
        super().__init__()
        widths = [LENGTH * (PROTEIN.size + 1), *[width] * depth]
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.SiLU())]
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.body(one_hot(x, PROTEIN.size, next(self.parameters()).dtype).flatten(1)).squeeze(1)


class IndependentSites(nn.Module):
    """p(x_T | x_t) = Π_i probs[i], whatever x_t is: logits (B, 4, 20) of probabilities (4, 20)."""

    logits: Tensor

    reads_time = False

    def __init__(self, probs: Tensor):
        super().__init__()
        self.register_buffer("logits", probs.log())

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1, -1)
