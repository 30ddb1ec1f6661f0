"""References that the extension kit is tried on."""

import torch
from tensordict import TensorDict
from torch import nn

import svlearn as sv
from svlearn.randomness import seeded
from svlearn.transitions import FieldTransition, GaussianTransition


def normal(*shape, seed=0):
    return torch.randn(shape, generator=seeded("cpu", seed), dtype=torch.float64)


class Walk(sv.Reference):
    """Sound, three steps in the plane."""

    num_steps = 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("table", torch.tensor([0.5, 0.3, 0.2]))

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 2, generator=generator)

    def mean(self, x, t):
        return x + self.layer(x).tanh()

    def forward(self, x, t, previous=None):
        mean = self.mean(x, t)
        return sv.Prediction(GaussianTransition(mean, self.table[t][:, None]), clean=mean)


class Cached(Walk):
    """Its mean is the running sum of states, that it carries in a cache or computes from what a state holds of it."""

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.randn(batch_size, 4, generator=generator)  # the state of now and the one before

    def forward(self, x, t, previous=None):
        whole = x[:, :2] + x[:, 2:] if previous is None else self.joined(x, previous.cache)
        mean = torch.cat([whole.tanh(), x[:, :2]], dim=1)
        return sv.Prediction(GaussianTransition(mean, 1e-3 + self.table[t][:, None]), cache={"held": self.kept(x)})

    def kept(self, x):
        return x[:, 2:]

    def joined(self, x, cache):
        return x[:, :2] + x[:, 2:] + 0.0 * cache["held"]


class Prompted(sv.Reference):
    """Starts from a prompt, which is a leaf of its state that no step changes."""

    num_steps = 2

    def initial(self, batch_size, *, condition=None, generator=None):
        prompt = torch.zeros(batch_size, 1) if condition is None else condition
        parts = {"x": torch.randn(batch_size, 1, generator=generator), "prompt": prompt}
        return TensorDict(parts, batch_size=[batch_size])

    def forward(self, x, t, previous=None):
        return sv.Prediction(FieldTransition({"x": GaussianTransition(x["x"] + x["prompt"], 0.5)}, x))


def changed(kind, **methods):
    return type("Mine", (kind,), methods)
