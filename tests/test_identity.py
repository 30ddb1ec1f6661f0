"""Identities tell apart what returns other results, are the same in another process, and guess at nothing."""

import functools
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from identity_toys import (
    DIFFERENT,
    TABLE,
    THINGS,
    Guarded,
    Named,
    Network,
    Plain,
    Power,
    Unsaved,
    look_up,
    of_default,
    of_factor,
    scaled,
    structured,
    through_another,
)
from torch import nn

import svlearn
from svlearn import Target
from svlearn.identity import identity, identity_of_process


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
        (Target(scaled, 1.0, name="a"), Target(look_up, 1.0, name="a")),
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
    monkeypatch.setitem(scaled.__globals__, "SCALE", 3.0)
    assert identity(reward) != before
    monkeypatch.undo()


def test_what_a_global_holds_counts(monkeypatch):
    before = identity(look_up)
    monkeypatch.setitem(TABLE, "C", 3.0)
    assert identity(look_up) != before


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
    ("thing", "reason"),
    [
        (torch.eye(2).to_sparse(), "has closed over 'factor', a Tensor, which has no identity"),
        (torch.jit.trace(torch.neg, torch.ones(1)), "has closed over 'factor', a torch.jit.ScriptFunction"),
        (np.frompyfunc(scaled, 1, 1), "has closed over 'factor', a ufunc"),
    ],
)
def test_what_cannot_be_read_is_not_guessed(thing, reason):
    with pytest.raises(ValueError, match=f"reward: expected one whose identity can be known.*{reason}"):
        identity(of_factor(thing), "reward")


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (of_factor(threading.Lock()), r"<lambda>, which has closed over 'factor', a lock, which has no identity"),
        (of_factor([open(os.devnull)]), r"has \[0\], a TextIOWrapper"),  # noqa: SIM115
        (Plain(iter_ := (i for i in [1])), r"has .factor, a generator"),
        (Plain({"a": threading.Lock()}), r"has .factor, a dict, which has 'a', a lock"),
        (Power(1.0, threading.Lock()), r"has .of, a lock"),
    ],
)
def test_what_cannot_be_known_asks_for_a_name(thing, reason):
    with pytest.raises(ValueError, match=rf"reward: expected one whose identity can be known.*{reason}.*name it"):
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


PRINTED = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from svlearn.identity import identity, identity_of_process
spec = spec_from_file_location("of_another_name", sys.argv[1])
examples = sys.modules[spec.name] = module_from_spec(spec)
spec.loader.exec_module(examples)
print(*map(identity, examples.THINGS), identity_of_process(examples.Network()))
"""


def test_another_process_says_the_same():
    paths = {"PYTHONPATH": str(Path(svlearn.__file__).parents[1]), "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PRINTED, str(Path(__file__).with_name("identity_toys.py"))]
    run = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [*map(identity, THINGS), identity_of_process(Network())]
