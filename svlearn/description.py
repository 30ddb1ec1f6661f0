"""The recipe of a thing that is there, so that a checkpoint can say how to build it: `recipes.build`, backwards."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from svlearn.arguments import as_python
from svlearn.bytecode import module_of
from svlearn.compiled import plain
from svlearn.process import Reference
from svlearn.recipes import import_thing

MAX_NUMBERS = 100_000  # of a tensor that is written as a list
REFERENCE = "reference"  # the parameter that whoever builds fills in


def describe(thing: Any, reference: Reference, name: str) -> Any:
    """A recipe, in plain data, of a thing and all that its constructor took.

    What a constructor took is what `thing.arguments()` or `thing.hyperparameters` says (a dict), the fields of a
    dataclass, or what the thing keeps under its parameters' names. A function is its path, a tensor a list. The
    reference itself, at a parameter `reference`, is left out.
    Raises ValueError, with the place in it, for what has no recipe: an argument that is not kept, a function without a
    path (a lambda), another reference, a tensor of more than 100,000 numbers.
    """
    thing = as_python(plain(thing))
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, Tensor):
        if thing.numel() > MAX_NUMBERS:
            raise ValueError(f"{name}: expected a tensor of at most {MAX_NUMBERS} numbers, got {thing.numel()}")
        return thing.tolist()
    if isinstance(thing, (list, tuple, nn.ModuleList)):
        return [describe(each, reference, f"{name}[{place}]") for place, each in enumerate(thing)]
    if isinstance(thing, Mapping) and all(isinstance(key, str) for key in thing):
        return {key: describe(each, reference, f"{name}.{key}") for key, each in thing.items()}
    if inspect.isfunction(thing) or inspect.isclass(thing):
        return _path(thing, name)
    if isinstance(thing, Reference):
        raise ValueError(f"{name}: expected no reference but the one whose value it is, got another")
    own = {key: each for key, each in arguments_of(thing, name).items() if key != REFERENCE or each is not reference}
    inside = {key: describe(each, reference, f"{name}.{key}") for key, each in own.items()}
    return {"class_path": _path(type(thing), name), "init_args": inside}


def arguments_of(thing: Any, name: str) -> dict[str, Any]:
    """What a constructor was given, by its parameters' names; ValueError where one is not kept."""
    if callable(getattr(thing, "arguments", None)):
        return thing.arguments()
    if isinstance(getattr(thing, "hyperparameters", None), Mapping):
        return dict(thing.hyperparameters)
    if dataclasses.is_dataclass(thing):
        return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    if isinstance(thing, nn.Module) and not module_of(type(thing)).startswith("svlearn."):
        raise ValueError(
            f"{name}: expected a module that says what its constructor took, got a {type(thing).__name__} without; "
            "keep `self.hyperparameters = dict(...)` in its constructor"
        )
    return kept_arguments(thing, name)


def kept_arguments(thing: Any, name: str) -> dict[str, Any]:
    """What a thing keeps under the names of its constructor's parameters, `parameter` or `_parameter`."""
    arguments: dict[str, Any] = {}
    if type(thing).__init__ in (nn.Module.__init__, object.__init__):
        return arguments
    for key, parameter in inspect.signature(type(thing)).parameters.items():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        held = key if hasattr(thing, key) else f"_{key}"
        if several or not hasattr(thing, held):
            raise ValueError(
                f"{name}: expected a {type(thing).__name__} that keeps its argument {key!r}, got one without; give it "
                "a method `arguments()` that returns what its constructor took, or say the recipe yourself"
            )
        arguments[key] = getattr(thing, held)
    return arguments


def _path(thing: Any, name: str) -> str:
    path = f"{module_of(thing)}.{thing.__qualname__}"
    try:
        if "<" not in path and import_thing(path) is thing:
            return path
    except ValueError:
        pass
    raise ValueError(f"{name}: expected what can be imported by its name, got {path}")
