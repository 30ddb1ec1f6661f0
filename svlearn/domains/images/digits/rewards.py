"""A reward of digits that is two at once: which digit, and how small a file."""

import torch
from torch import Tensor

from svlearn.arguments import integer, real
from svlearn.domains.images.digits.classifier import classifier
from svlearn.domains.images.pixels import to_unit
from svlearn.domains.images.reference import parts
from svlearn.domains.images.rewards import Incompressibility, LogProbability
from svlearn.state import State


class WrittenDigit(torch.nn.Module):
    """r(x_T) = log p(digit | x_T) - weight · size, (B,), nats, of states of the digits' references.

    p: the public classifier "a" or "b"; digit: 0 ... 9, or None: that of each state, its leaf "class". size: of the
    image as a JPEG file, kB (see `rewards.Incompressibility`); weight >= 0, nats a kB; at 0 there is a gradient, and no
    file is made. So are digits that are easy to store asked for: "a 7 that is small".
    Raises ValueError for a digit, a classifier or a weight that is none.
    """

    def __init__(self, digit: int | None, name: str = "a", weight: float = 0.0, num_workers: int = 1):
        super().__init__()
        digit = None if digit is None else integer(digit, "digit", 0, 9)
        self.log_probability = LogProbability(classifier(name), digit)
        self.weight = real(weight, "weight", 0)
        self.size = Incompressibility(num_workers=num_workers) if self.weight > 0 else None

    def forward(self, x: State) -> Tensor:
        sample, leaves = parts(x)
        images = to_unit(sample)
        rewards = self.log_probability(images, leaves.get("class"))
        return rewards if self.size is None else rewards - self.weight * self.size(images)

    def forget(self) -> None:
        """Empty what is remembered of files."""
        if self.size is not None:
            self.size.forget()


class FileSize(torch.nn.Module):
    """The size of digits as JPEG files, kB, (B,), of states: what a comparison may judge by."""

    def __init__(self, num_workers: int = 1):
        super().__init__()
        self.size = Incompressibility(num_workers=num_workers)

    def forward(self, x: State) -> Tensor:
        return self.size(to_unit(parts(x)[0]))
