"""Modules in evaluation mode for a while: dropout and batch norms are of training alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(*things: object) -> Iterator[None]:
    """Run the modules among these things, and the modules they hold as attributes, in evaluation mode; then give every
    submodule the mode that it had, also after an exception.

    A thing that is no module (a proposal, a target, a sampler) is searched through its attributes.
    """
    modules = [module for thing in things for module in _modules_of(thing)]
    trained = [each for module in modules for each in module.modules() if each.training]
    try:
        for each in trained:
            each.training = False
        yield
    finally:
        for each in trained:
            each.training = True


def _modules_of(thing: object, seen: set[int] | None = None) -> list[nn.Module]:
    seen = set() if seen is None else seen
    if thing is None or id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        return [thing]
    if isinstance(thing, (list, tuple)):
        return [module for each in thing for module in _modules_of(each, seen)]
    if isinstance(thing, dict):
        return [module for each in thing.values() for module in _modules_of(each, seen)]
    if type(thing).__module__.startswith("svlearn.") and hasattr(thing, "__dict__"):
        return [module for each in vars(thing).values() for module in _modules_of(each, seen)]
    return []
