"""How small a digit is as a file, and whether it is still a digit."""

import torch
from torch import Tensor

from svlearn.domains.images.digits.classifier import classifier
from svlearn.domains.images.digits.rewards import FileSize
from svlearn.domains.images.pixels import to_unit
from svlearn.domains.images.reference import parts
from svlearn.state import State


class SmallFile(FileSize):
    """r(x) = minus the size of states as JPEG files, kB, (B,): a black box."""

    def forward(self, x: State) -> Tensor:
        return -super().forward(x)


class MostLikelyDigit(torch.nn.Module):
    """r(x) = max over digits of log p(digit | x), nats, (B,), of states, by the public classifier "b"."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = classifier("b")

    def forward(self, x: State) -> Tensor:
        return self.classifier(to_unit(parts(x)[0])).max(dim=1).values
