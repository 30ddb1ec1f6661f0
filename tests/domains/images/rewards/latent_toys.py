"""A process of pictures with a decoder, with and without conditions, and a classifier of random weights."""

import torch
from tensordict import TensorDict
from torch import nn

from svlearn.process import Prediction, Reference
from svlearn.transitions import FieldTransition, GaussianTransition


class Pictures(Reference):
    """x_{t+1} ~ N(x_t, 1/4), T = 3, of latents (B, 2, 4, 4), whose images (B, C, 8, 8) a decoder makes."""

    num_steps = 3

    def __init__(self, channels: int = 1):
        super().__init__()
        self.decoder = nn.ConvTranspose2d(2, channels, 2, stride=2)
        self.calls = 0

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, 4, 4, generator=generator)

    def forward(self, x, t, previous=None):
        return Prediction(GaussianTransition(x, 0.5), clean=x)

    def images(self, x):
        self.calls += 1
        return self.decoder(x).sigmoid()


class Described(Pictures):
    """The same, of TensorDicts {"sample", "class", "prompt"}; condition: classes (B,)."""

    def initial(self, batch_size, *, condition=None, generator=None):
        sample = super().initial(batch_size, generator=generator)
        prompts = prompts_of([f"a {number}" for number in condition.tolist()])
        return TensorDict({"sample": sample, "class": condition, "prompt": prompts}, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        law = FieldTransition({"sample": GaussianTransition(x["sample"], 0.5)})
        return Prediction(law, clean=x)

    def images(self, x):
        return super().images(x["sample"])


def prompts_of(texts, size=32):
    """As states hold them: UTF-8, zeros after the end, (B, size) uint8."""
    rows = [list(text.encode()) for text in texts]
    return torch.tensor([row + [0] * (size - len(row)) for row in rows], dtype=torch.uint8)


def classifier(channels: int = 1, classes: int = 10) -> nn.Module:
    """Of images (B, C, 8, 8), with a dropout that only evaluation mode leaves out."""
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 36, classes)
    )
