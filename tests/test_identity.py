"""Identities tell apart what returns other results, are the same in another process, and guess at nothing."""

import functools
import os
import subprocess
import sys
import threading
from dataclasses import InitVar, dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch import nn

import svlearn
from svlearn import Target, targets
from svlearn.identity import identity, identity_of_process

SCALE, TABLE = 2.0, {"C": 1.0, "N": 2.0}


def scaled(x):
    return SCALE * x[:, 0]


def looked_up(x):
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
    given: InitVar[float]

    def __post_init__(self, given):
        self._kept = 2 * given


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
    network.register_forward_hook(lambda module, given, out: factor * out)
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
    ("partials of others", functools.partial(scaled), functools.partial(looked_up)),
    ("functions of torch", torch.sum, torch.mean),
    ("dataclasses", Power(1.0), Power(2.0)),
    ("dataclasses of functions", Power(1.0, scaled), Power(1.0, looked_up)),
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
        targets.unnormalized_density(scaled, looked_up).reward,
        targets.unnormalized_density(looked_up, scaled).reward,
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


@pytest.mark.parametrize(("one", "other"), [pair[1:] for pair in DIFFERENT], ids=[pair[0] for pair in DIFFERENT])
def test_what_differs_has_another(one, other):
    assert identity(one) != identity(other)
    assert identity(one) == identity(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x.sum(1), lambda x: x.sum(1)),
        (of_factor(1), of_factor(1.0)),
        (of_factor(np.float64(0.5)), of_factor(0.5)),
        (of_default(1), of_default(np.int64(1))),
        (Plain(1), Plain(1)),
        (Named("a"), Named("a")),
        (Network(), Network().eval()),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a", "b", "c"}, {"c", "b", "a"}),
        ([1, 2], (1, 2)),
        (structured(0), structured(7)),
        (Target(scaled, 1.0, name="a"), Target(looked_up, 1.0, name="a")),
    ],
)
def test_what_does_the_same_has_the_same(one, other):
    assert identity(one) == identity(other)


def test_what_is_compiled_is_what_it_was():
    import pytorch_lightning  # noqa: F401  # which has torch.compile mark the module

    assert identity(torch.compile(scaled)) == identity(scaled)
    assert identity(torch.compile(Network())) == identity(Network())
    assert identity_of_process(torch.compile(Network())) == identity_of_process(Network())


@pytest.mark.parametrize("reward", [scaled, through_another, functools.partial(scaled), Plain(1), Guarded()])
def test_a_global_counts_with_its_content(reward, monkeypatch):
    if isinstance(reward, Plain):
        monkeypatch.setattr(Plain, "__call__", lambda self, x: scaled(x))
    before = identity(reward)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert identity(reward) != before
    monkeypatch.undo()


def test_what_a_global_holds_counts(monkeypatch):
    before = identity(looked_up)
    monkeypatch.setitem(TABLE, "C", 3.0)
    assert identity(looked_up) != before


def test_an_edited_method_is_another(monkeypatch):
    before, process = identity(Plain(1)), identity_of_process(Network())
    monkeypatch.setattr(Plain, "__call__", lambda self, x: x[:, 1])
    monkeypatch.setattr(Network, "forward", lambda self, x: x[:, 1])
    assert identity(Plain(1)) != before and identity_of_process(Network()) != process


def test_what_reads_a_module_of_the_users_reads_its_functions(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_rewards_of_a_user.py").write_text("WEIGHT = 1.0\ndef score(x): return WEIGHT * x\n")
    import own_rewards_of_a_user as own

    def reward(x):
        return own.score(x)

    monkeypatch.setitem(globals(), "own", own)
    of_global = eval("lambda x: own.score(x)", globals())
    before = identity(of_global)
    own.WEIGHT = 2.0
    assert identity(of_global) != before


@pytest.mark.parametrize(
    "code",
    [
        "def reward(x):\n import {0}.weights\n return {0}.weights.WEIGHT * x",
        "def reward(x):\n from {0}.weights import WEIGHT\n return WEIGHT * x",
        "def reward(x):\n from {0} import weights as own\n return own.WEIGHT * x",
        "import {0}.weights\ndef reward(x): return {0}.weights.WEIGHT * x",
    ],
)
def test_what_is_imported_in_a_function_counts(code, tmp_path, monkeypatch, request):
    package = f"users_package_{request.node.callspec.indices['code']}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / "weights.py").write_text("WEIGHT = 1.0")
    own = {"__name__": "users_own"}
    exec(code.format(package), own)
    before = identity(own["reward"])
    own["reward"](1.0)
    assert identity(own["reward"]) == before
    sys.modules[f"{package}.weights"].WEIGHT = 2.0
    assert identity(own["reward"]) != before


def test_an_edited_class_is_another_whatever_its_name(monkeypatch):
    before = identity(Named("a"))
    monkeypatch.setattr(Named, "__call__", lambda self, x: x[:, 1])
    assert identity(Named("a")) != before


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (torch.eye(2).to_sparse(), "has closed over 'factor', a Tensor, which has no identity"),
        (torch.jit.trace(torch.neg, torch.ones(1)), "has closed over 'factor', a torch.jit.ScriptFunction"),
        (np.frompyfunc(scaled, 1, 1), "has closed over 'factor', a ufunc"),
    ],
)
def test_what_cannot_be_read_is_not_guessed(thing, why):
    with pytest.raises(ValueError, match=f"reward: expected one whose identity can be known.*{why}"):
        identity(of_factor(thing), "reward")


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (of_factor(threading.Lock()), r"<lambda>, which has closed over 'factor', a lock, which has no identity"),
        (of_factor([open(os.devnull)]), r"has \[0\], a TextIOWrapper"),  # noqa: SIM115
        (Plain(iter_ := (i for i in [1])), r"has .factor, a generator"),
        (Plain({"a": threading.Lock()}), r"has .factor, a dict, which has 'a', a lock"),
        (Power(1.0, threading.Lock()), r"has .of, a lock"),
    ],
)
def test_what_cannot_be_known_asks_for_a_name(thing, why):
    with pytest.raises(ValueError, match=rf"reward: expected one whose identity can be known.*{why}.*name it"):
        identity(thing, "reward")
    named = Target(thing, 1.0, name="mine")
    assert identity(named) == identity(replace(named, reward=scaled)) != identity(replace(named, name="other"))


def test_things_in_each_other_end():
    own = []
    own.append(own)
    assert identity(own) == identity(own)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="reward: expected one whose identity.* in each other without end"):
        identity(deep, "reward")


@pytest.mark.parametrize("name", ["", 3])
def test_the_name_of_a_target_is_a_text(name):
    with pytest.raises(TypeError, match="name: expected None or a text, got"):
        Target(scaled, 1.0, name=name)


def test_of_a_process_what_its_constructor_was_given_counts():
    one = Network()
    one.calls = 3
    assert identity_of_process(one) == identity_of_process(Network())
    assert identity_of_process(one) != identity_of_process(Network(exponent=2))
    assert identity_of_process(nn.Sequential(Network())) != identity_of_process(nn.Sequential(Network(exponent=2)))


def test_of_a_process_what_it_does_not_save_counts():
    assert identity_of_process(Unsaved([1.0])) == identity_of_process(Unsaved([1.0]))
    assert identity_of_process(Unsaved([1.0])) != identity_of_process(Unsaved([2.0]))


def test_of_a_process_events_and_locks_count_by_their_class():
    """They change while it runs, and it stays what it is."""
    begun = threading.Event()

    class Telling(Network):
        def forward(self, x, t=None):
            begun.set()
            return super().forward(x)

    before = identity_of_process(Telling())
    begun.set()
    assert identity_of_process(Telling()) == before
    with pytest.raises(ValueError, match="Event, which has no identity"):
        identity(begun.set)


def test_of_a_process_what_its_base_was_given_counts_too():
    class Derived(Network):
        def __init__(self, width=1, **options):
            super().__init__(**options)
            self._width = width

    assert identity_of_process(Derived()) == identity_of_process(Derived())
    assert len({identity_of_process(each) for each in (Derived(), Derived(exponent=2), Derived(width=2))}) == 3


THINGS = [pair[1] for pair in DIFFERENT] + [through_another, {"a", "b", "c"}]
PRINTED = """
import sys
sys.path.insert(0, sys.argv[1])
import test_identity as given
from svlearn.identity import identity, identity_of_process
print(*map(identity, given.THINGS), identity_of_process(given.Network()))
"""


def test_another_process_says_the_same():
    paths = {"PYTHONPATH": str(Path(svlearn.__file__).parents[1]), "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PRINTED, str(Path(__file__).parent)]
    run = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [*map(identity, THINGS), identity_of_process(Network())]
