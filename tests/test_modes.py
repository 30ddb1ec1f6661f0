"""Evaluation mode for a while, and every submodule's own mode afterwards."""

import types
from collections import deque
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn

import svlearn as sv
from svlearn.bytecode import module_of
from svlearn.description import describe
from svlearn.identity import identity
from svlearn.modes import evaluating
from svlearn.placement import modules_of
from svlearn.plain_text import plain_text


def test_each_submodule_gets_its_own_mode_back():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    module[1].eval()
    before = [each.training for each in module.modules()]
    assert before == [True, True, False, False]
    with evaluating(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == before


def test_also_after_an_exception():
    module = nn.Dropout()
    with pytest.raises(KeyError), evaluating(module):
        raise KeyError
    assert module.training


def test_modules_are_found_in_what_holds_them():
    reward, network = nn.Dropout(), nn.Dropout()
    target = sv.Target(reward, alpha=1.0)
    proposal = sv.proposals.Guided(sv.values.Learned(network))
    with evaluating(target, [proposal], {"none": None}):
        assert not reward.training and not network.training
    assert reward.training and network.training


class Holder:
    """Of nobody's library."""

    def __init__(self, held):
        self.held = held

    def score(self, x):
        return x


class Judge(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.held = [held]  # past torch's own list of submodules


class Private(nn.Module):
    def __init__(self, held):
        super().__init__()
        self._target = sv.Target(lambda x: held(x), 1.0)


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held):
        self.held = held


class Naming:
    def __call__(self, x):
        return through_another(x)


class Shared:
    held: ClassVar[dict] = {}


HELD: list = []
FAR = nn.Dropout()


def from_a_list(x):
    return HELD[0](x)


def through_another(x):
    return [from_a_list(each) for each in x]


def in_a_global(holder):
    def held(module):
        HELD[:] = [module]
        return holder

    return held


def in_a_class(module):
    Shared.held = {"a": module}
    return Shared()


def in_a_module_of_the_user(module):
    own = types.ModuleType("users_own")
    own.network = module
    return eval("lambda x: own.network(x)", {"own": own})


def as_attribute(module):
    def reward(x):
        return reward.network(x)

    reward.network = module
    return reward


def named(x):
    return FAR(x)


def closing_over(module):
    return lambda x: module(x)


HOLDERS = {
    "an object": Holder,
    "an object's object": lambda module: Holder(Holder([{"a": (module,)}])),
    "a method": lambda module: Holder(module).score,
    "a module's list": Judge,
    "a target in a value": lambda module: sv.values.PosteriorMean(sv.Target(module, 1.0)),
    "a closure": closing_over,
    "a default": lambda module: lambda x, m=module: m(x),
    "a partial": lambda module: partial(max, key=module),
    "a module's child": nn.Sequential,
    "a compiled module": torch.compile,
    "a module's private attribute": Private,
    "a slot": Slotted,
    "a deque": lambda module: deque([module]),
    "a key": lambda module: {module: 1.0},
    "a global that holds it": in_a_global(from_a_list),
    "a global function": in_a_global(through_another),
    "a method's global": in_a_global(Naming()),
    "a class": in_a_class,
    "a module of the user": in_a_module_of_the_user,
    "a function's attribute": as_attribute,
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_wherever_a_module_is_held(kind):
    module = nn.Sequential(nn.Dropout())
    holder = HOLDERS[kind](module)
    with evaluating(holder):
        assert not module.training and not module[0].training
    assert module.training and module[0].training


def test_a_module_that_a_function_names_and_what_refers_to_itself():
    ring = Holder(None)
    ring.held = [ring, named]
    with evaluating(ring):
        assert not FAR.training
    assert FAR.training


class Compiled:
    """As a class of some C extensions: `__module__` is a descriptor, so that the class itself says no text."""

    __module__ = property(lambda self: "an_extension")

    def __init__(self, held):
        self.held = held

    def __call__(self, x):
        return self.held(x)


class Nowhere(Compiled):
    __module__ = None


@pytest.mark.parametrize("kind", [Compiled, Nowhere])
def test_a_class_that_does_not_say_its_module_in_text_is_one_like_others(kind):
    module = nn.Dropout()
    with evaluating(kind(module), sv.Target(kind(module), 1.0)):
        assert not module.training
    assert module.training
    assert identity(kind(2)) == identity(kind(2)) != identity(kind(3))
    assert "0x" not in module_of(kind) and plain_text(kind(2)) is None and modules_of(kind(module)) == []
    with pytest.raises(ValueError, match="expected what can be imported by its name"):
        describe(kind(2), Still(), "thing")


class Still(sv.Reference):
    num_steps = 1

    def initial(self, batch_size, *, condition=None, generator=None):
        return torch.zeros(batch_size, 1)

    def forward(self, x, t, previous=None):
        return sv.Prediction(sv.GaussianTransition(x, 1.0))
