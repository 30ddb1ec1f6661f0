"""Functions and objects that return other results, in pairs: what an identity must tell apart."""

import functools
import threading
from dataclasses import InitVar, dataclass
from enum import Enum

import numpy as np
import torch
from tensordict import TensorDict
from torch import nn

from svlearn import Target, targets

SCALE, TABLE = 2.0, {"C": 1.0, "N": 2.0}


def scaled(x):
    return SCALE * x[:, 0]


def look_up(x):
    return x[:, 0] * TABLE["C"]


def through_another(x):
    return scaled(x) + 1


def of_factor(factor):
    return lambda x: factor * x[:, 0]


def of_default(factor):
    def reward(x, factor=factor, *, shift=factor):
        return factor * x[:, 0] + shift

    return reward


@dataclass(frozen=True)
class Power:
    exponent: float
    of: object = None

    def __call__(self, x):
        return x[:, 0] ** self.exponent


class Plain:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x[:, 0]

    def shifted(self, x):
        return self(x) + 1


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x[:, 0]


class Named:
    """Its scorer remembers, which is no part of what it is."""

    def __init__(self, name):
        self.name, self.lock, self.remembered = name, threading.Lock(), []

    def __call__(self, x):
        return x[:, 0]


class Network(nn.Module):
    def __init__(self, exponent=1, weight=1.0, activation=torch.relu, hidden=None):
        super().__init__()
        self.exponent, self.activation, self.hidden = exponent, activation, [] if hidden is None else [hidden]
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return self.activation(self.weight * x[:, 0]) ** self.exponent


class Derived(Power):
    """No dataclass itself, and with more than its base has."""

    def __init__(self, shift):
        super().__init__(1.0)
        object.__setattr__(self, "shift", shift)


@dataclass
class Made:
    number: InitVar[float]

    def __post_init__(self, number):
        self._kept = 2 * number


class Table(dict):
    def __call__(self, x):
        return x[:, 0] * self["C"]


class OtherTable(dict):
    def __call__(self, x):
        return -x[:, 0] * self["C"]


class Factor(float):
    def __call__(self, x):
        return self * x[:, 0]


class OtherFactor(float):
    def __call__(self, x):
        return self - x[:, 0]


class Guarded:
    """What of it has no identity hides nothing else."""

    lock = threading.Lock()

    def __call__(self, x):
        with self.lock:
            return SCALE * x[:, 0]


def of_level(value):
    class Level(Enum):
        LOW = value

    return Level.LOW


def with_attribute(factor):
    def reward(x):
        return reward.factor * x[:, 0]

    reward.factor = factor
    return reward


def hooked(factor):
    network = Network()
    network.register_forward_hook(lambda module, inputs, out: factor * out)
    return network


class Unsaved(nn.Module):
    def __init__(self, query):
        super().__init__()
        self.register_buffer("query", torch.tensor(query), persistent=False)

    def forward(self, x):
        return x @ self.query


def structured(padding):
    rows = np.zeros(3, np.dtype([("a", np.int8), ("b", np.float64)], align=True))
    rows.view(np.uint8)[1] = padding
    return rows


DIFFERENT = [
    ("lambdas", lambda x: x.sum(1), lambda x: x.prod(1)),
    ("constants", lambda x: 2 * x, lambda x: 3 * x),
    ("nested code", lambda x: [y + 1 for y in x], lambda x: [y + 2 for y in x]),
    ("closures", of_factor(1.0), of_factor(2.0)),
    ("closures over tensors", of_factor(torch.ones(2)), of_factor(torch.zeros(2))),
    ("closures over arrays", of_factor(np.ones(2)), of_factor(np.ones(2, np.float32))),
    ("defaults", of_default(1), of_default(2)),
    ("partials", functools.partial(scaled, k=1), functools.partial(scaled, k=2)),
    ("partials of others", functools.partial(scaled), functools.partial(look_up)),
    ("functions of torch", torch.sum, torch.mean),
    ("dataclasses", Power(1.0), Power(2.0)),
    ("dataclasses of functions", Power(1.0, scaled), Power(1.0, look_up)),
    ("objects", Plain(1), Plain(2)),
    ("objects with slots", Slotted(1), Slotted(2)),
    ("methods", Plain(1).shifted, Plain(2).shifted),
    ("methods by name", Plain(1).shifted, Plain(1).__call__),
    ("methods of C", torch.ones(2).dot, torch.zeros(2).dot),
    ("names", Named("a"), Named("b")),
    ("weights", Network(), Network(weight=2.0)),
    ("what is no weight", Network(), Network(exponent=2)),
    ("functions of a module", Network(), Network(activation=torch.tanh)),
    ("modules that no module knows of", Network(hidden=nn.Dropout(0.1)), Network(hidden=nn.Dropout(0.2))),
    ("layers", nn.Sequential(nn.Dropout(0.1)), nn.Sequential(nn.Dropout(0.2))),
    ("predicates", targets.constraint(of_factor(1)).reward, targets.constraint(of_factor(2)).reward),
    ("likelihoods", targets.likelihood(of_factor(1)).reward, targets.likelihood(of_factor(2)).reward),
    (
        "densities",
        targets.unnormalized_density(scaled, look_up).reward,
        targets.unnormalized_density(look_up, scaled).reward,
    ),
    ("temperatures", Target(scaled, 1.0), Target(scaled, 2.0)),
    ("floors", Target(scaled, 1.0), Target(scaled, 1.0, floor=-1.0)),
    ("named targets", Target(scaled, 1.0, name="a"), Target(scaled, 1.0, name="b")),
    ("what a subclass of a dataclass adds", Derived(1), Derived(2)),
    ("what a dataclass makes of what it is given", Made(1.0), Made(2.0)),
    ("dicts that are called", Table(C=1.0), OtherTable(C=1.0)),
    ("numbers that are called", Factor(2), OtherFactor(2)),
    ("values of members", of_level(1), of_level(2)),
    ("attributes of functions", with_attribute(1), with_attribute(2)),
    ("hooks", hooked(1), hooked(2)),
    ("buffers that are not saved", Unsaved([1.0]), Unsaved([2.0])),
    ("masked arrays", np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    ("beside what is unknown", Network(hidden=[threading.Lock(), 1]), Network(hidden=[threading.Lock(), 2])),
    ("bool and number", [True], [1]),
    ("text and number", ["1"], [1]),
    ("order", [1, 2], [2, 1]),
    ("mappings", {"a": 1, "b": 2}, {"a": 2, "b": 1}),
    ("states", TensorDict({"a": torch.ones(2)}, [2]), TensorDict({"b": torch.ones(2)}, [2])),
]
THINGS = [pair[1] for pair in DIFFERENT] + [through_another, {"a", "b", "c"}]
