"""Values on disk: the weights, and the recipe that the value is built by; shipped values by name."""

import inspect
import json
import typing
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from torch import nn

from svlearn import checkpoints
from svlearn.bytecode import module_of
from svlearn.compiled import plain, plain_names
from svlearn.description import describe
from svlearn.files import user_path
from svlearn.fingerprint import fingerprint
from svlearn.process import Reference
from svlearn.randomness import device_of
from svlearn.recipes import Context, build, import_thing
from svlearn.targets import Target
from svlearn.values.learned import Learned
from svlearn.values.value import Value

GROUP = "svlearn.values"
TRUSTED = ("svlearn", "torch.nn")


def save_value(
    value: Value, path: str | Path, reference: Reference, *, recipe: dict[str, Any] | None = None, **record: Any
) -> Path:
    """Write a value of a reference: its tensors, its recipe, and the reference's fingerprint, for `load_value`.

    recipe: the class path and the arguments that build it, as a YAML has them; None: what `description.describe` finds,
    for which a network keeps its constructor's arguments as a dict `hyperparameters`. record: anything JSON can hold.
    Raises ValueError for a value that cannot be saved (see `check_saving`), OSError where the disk is full.
    """
    recipe = check_saving(value, reference, recipe)
    return checkpoints.save(
        _held(value), path, reference=fingerprint(reference), num_steps=reference.num_steps, value=recipe, **record
    )


def check_saving(value: Value, reference: Reference, recipe: dict[str, Any] | None = None) -> dict[str, Any]:
    """The recipe that `save_value` would write; ValueError, with the reason, where a value could not be saved.

    It is built by its recipe once, to see that this gives a value of the same class whose tensors have the same names,
    types and shapes; the global random state stays as it was.
    """
    if not isinstance(value, Value):
        raise TypeError(f"value: expected a Value, got {type(value).__name__}")
    checkpoints.check_savable(value, "value")
    if recipe is None:
        recipe = describe(value, reference, "value")
        _check_weights(value)
    try:
        recipe = json.loads(json.dumps(recipe, default=str))
        with torch.random.fork_rng():
            again = _build(recipe, reference, import_thing, "value")
    except Exception as error:  # whatever a constructor may raise
        raise ValueError(f"value: expected one that can be saved, got one that is not built again: {error}") from error
    wanted, came = (_shapes(each) for each in (value, again))
    if type(again) is not type(plain(value)) or wanted != came:
        differ = sorted(wanted.items() ^ came.items())
        raise ValueError(
            f"value: expected a recipe that builds this {type(plain(value)).__name__}, got one that builds a "
            f"{type(again).__name__} with other tensors ({differ[0] if differ else 'another class'})"
        )
    return recipe


def load_value(name_or_path: str | Path, reference: Reference, *, modules: Sequence[str] = ()) -> Value:
    """The shipped value of that name, or the one in a file of `save_value`; in evaluation mode, on the reference's
    device.

    A file says by names which classes it is built of. Those of svlearn and torch.nn are built, and those of `modules`
    (names of modules or packages): name only what you would import and call yourself.
    Raises ValueError for an unknown name (listing the known ones), a value of another reference, a class that is not
    trusted, a file without a recipe; FileNotFoundError for a path that does not exist.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if str(name_or_path) in known:
        value = known[str(name_or_path)].load()(reference)
    else:
        path = user_path(name_or_path)
        if not path.suffix and not path.exists():
            raise ValueError(f"name_or_path: expected a file or one of {', '.join(sorted(known))}, got {str(path)!r}")
        value = _read(path, reference, modules)
    return value.to(device_of(reference)).eval()


def _read(path: Path, reference: Reference, modules: Sequence[str]) -> Value:
    record = checkpoints.read_record(path)
    checkpoints.check_reference(record, path, reference)
    if not isinstance(record.get("value"), dict):
        raise ValueError(
            f"{path}: expected a value with the recipe that builds it, got weights alone; fill your own network by "
            "svlearn.checkpoints.load_value"
        )
    value = _build(record["value"], reference, _importer(modules), str(path))
    if not isinstance(value, Value):
        raise ValueError(f"{path}: expected the recipe of a Value, got that of a {type(value).__name__}")
    checkpoints.load_into(_held(value), path)
    return value


def _build(recipe: Any, reference: Reference, importer: Callable[[str, str], Any], name: str) -> Any:
    return build(recipe, Context({"reference": reference}, importer=importer), name)


def _held(value: Value) -> nn.Module:
    """What is written: of a `Learned` its network under its own names, so that another program can fill its own."""
    inside = plain(value)
    return inside.network if type(inside) is Learned else inside


def _shapes(value: Any) -> dict[str, Any]:
    state = plain_names(value.state_dict())
    return {
        name: (str(each.dtype), tuple(each.shape)) for name, each in state.items() if isinstance(each, torch.Tensor)
    }


def _check_weights(value: Value) -> None:
    """A reward that is a network is no part of a value's state_dict: its weights would be lost."""
    own = {id(each) for each in value.modules()}
    for module in value.modules():
        target = getattr(module, "target", None)
        reward = target.reward if isinstance(target, Target) else None
        if isinstance(reward, nn.Module) and id(reward) not in own and reward.state_dict():
            raise ValueError(
                f"value: expected one whose tensors are all its own, got a {type(reward).__name__} as the reward of "
                "its target, whose weights are kept elsewhere; give a recipe"
            )


def _importer(modules: Sequence[str]) -> Callable[[str, str], Any]:
    def importer(class_path: str, name: str) -> Any:
        if any(class_path.startswith(f"{module}.") for module in modules):
            return import_thing(class_path, name)
        if any(class_path.startswith(f"{module}.") for module in TRUSTED):
            thing = import_thing(class_path, name)
            if _builds(thing) and module_of(thing).startswith(TRUSTED):
                return thing
        raise ValueError(
            f"{name}: expected a network, a target or a reward of {' or '.join(TRUSTED)}, or of modules that you "
            f"trust, got {class_path}; name its module in modules="
        )

    return importer


def _builds(thing: Any) -> bool:
    """Whether a call can give nothing but a module, a target, a reward or a thing made of nothing, such as the codec of
    a reward: nothing that writes a file, above all."""
    if inspect.isfunction(thing):
        try:
            returned = typing.get_type_hints(thing).get("return")
        except Exception:  # of an annotation that only a type checker knows
            return False
        return inspect.isclass(returned) and issubclass(returned, nn.Module)
    if not inspect.isclass(thing):
        return False
    made_of_nothing = thing.__init__ is object.__init__ and thing.__new__ is object.__new__
    return made_of_nothing or issubclass(thing, (nn.Module, Target)) or _is_callable(thing)


def _is_callable(kind: type) -> bool:
    """Whether its objects can be called, as a reward is."""
    return any("__call__" in vars(each) for each in kind.__mro__)
