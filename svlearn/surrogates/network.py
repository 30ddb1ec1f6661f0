"""An ensemble of networks as a regressor: what makes any torch module one that a surrogate can use."""

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import nn

from svlearn.arguments import as_seed, integer, real
from svlearn.modes import evaluating
from svlearn.randomness import global_draws_from, randint, seeded


class NetworkRegressor:
    """fit(X, y) and predict(X, return_std=False) of X (N, d) by `num_members` networks, each with weights and a
    bootstrap of the samples of its own (deep ensembles, arXiv 1612.01474): their mean, and their spread as the std.

    make: d -> a module that gives (N,) or (N, 1) of (N, d). Inputs and targets are standardised. Each member takes
    `num_steps` steps of Adam on batches of `batch_size`. The same seed gives the same bits.
    Raises TypeError where `make` gives no module, ValueError for numbers out of range.
    """

    def __init__(
        self,
        make: Callable[[int], nn.Module],
        *,
        num_members: int = 5,
        num_steps: int = 300,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        seed: int = 0,
    ):
        self.make, self.seed = make, as_seed(seed)
        self.num_members, self.num_steps = integer(num_members, "num_members"), integer(num_steps, "num_steps")
        self.batch_size, self.learning_rate = (
            integer(batch_size, "batch_size"),
            real(learning_rate, "learning_rate", above=0),
        )
        self.members: list[nn.Module] = []

    def fit(self, inputs: np.ndarray, targets: np.ndarray) -> Self:
        x, y = torch.as_tensor(inputs).float(), torch.as_tensor(targets).float()
        self.centre, self.width = x.mean(dim=0), _widths(x)
        self.location, self.spread = float(y.mean()), float(_widths(y[:, None]))
        x, y = (x - self.centre) / self.width, (y - self.location) / self.spread
        self.members = [self._member(x, y, seeded("cpu", self.seed, number)) for number in range(self.num_members)]
        return self

    def predict(self, inputs: np.ndarray, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        x = (torch.as_tensor(inputs).float() - self.centre) / self.width
        with torch.no_grad(), evaluating(*self.members):
            each = torch.stack([member(x).view(len(x)) for member in self.members])
        mean = (self.location + self.spread * each.mean(dim=0)).double().numpy()
        return (mean, (self.spread * each.std(dim=0, correction=0)).double().numpy()) if return_std else mean

    def _member(self, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> nn.Module:
        own = randint(len(x), (len(x),), generator, x.device)
        with global_draws_from(generator):  # the first weights, and dropout
            member = self.make(x.shape[1])
            if not isinstance(member, nn.Module):
                raise TypeError(f"make: expected a function that gives a torch.nn.Module, got {type(member).__name__}")
            optimizer = torch.optim.Adam(member.parameters(), lr=self.learning_rate)
            for _ in range(self.num_steps):
                rows = own[randint(len(x), (self.batch_size,), generator, x.device)]
                loss = (member(x[rows]).view(len(rows)) - y[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return member


def _widths(x: torch.Tensor) -> torch.Tensor:
    """The standard deviation of each column (d,), 1 where it does not vary."""
    widths = x.std(dim=0, correction=0)
    return torch.where(widths > 0, widths, 1.0)
