"""Recipes: what to build and with which arguments, in plain data, as a YAML or the record of a checkpoint holds it.

{class_path: svlearn.svdd, init_args: {target: soft, value: {class_path: svlearn.values.Zero}, num_candidates: 10}}
"""

import dataclasses
import difflib
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

KEYS = {"class_path", "init_args"}


class Recorded:
    """A class whose objects keep what their constructor was given, so that `description.describe` finds their recipe.

    So do those of every subclass, whatever parameters its own constructor has; what is set later is no part of it.
    """

    _recorded: dict[str, Any]

    def __new__(cls, *given: Any, **named: Any) -> Self:
        made = super().__new__(cls)
        vars(made)["_recorded"] = _bound(cls, made, given, named)
        return made

    def arguments(self) -> dict[str, Any]:
        """What the constructor was given, by the names of its parameters; defaults are left out."""
        return dict(self._recorded)


def _bound(kind: type, made: Any, given: tuple, named: dict[str, Any]) -> dict[str, Any]:
    """By the names of a constructor's parameters what they are given; nothing where it does not take that: then it says
    so itself, or a copy is made, which is given its state later."""
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    try:
        found = dict(signature.bind(made, *given, **named).arguments)
    except TypeError:
        return {}
    rest = [name for name, each in signature.parameters.items() if each.kind is inspect.Parameter.VAR_KEYWORD]
    options = found.pop(rest[0], {}) if rest else {}
    return dict(list(found.items())[1:]) | options


@dataclass(frozen=True)
class Context:
    """What a recipe may leave out or name.

    defaults: what a parameter of that name gets where the recipe gives nothing ("reference", "target"). A recipe's own
    is the default of all that is inside it.
    named: by class, how a text is looked up for a parameter that is annotated with it: {Value: values.__getitem__}.
    importer: what is at a class path, (class_path, name of the recipe); one that refuses some raises ValueError.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[type, Callable[[str], Any]] = field(default_factory=dict)
    importer: Callable[[str, str], Any] | None = None

    def find(self, class_path: str, name: str) -> Any:
        return (import_thing if self.importer is None else self.importer)(class_path, name)


def build(recipe: Any, context: Context, name: str) -> Any:
    """What a recipe says: the thing at its `class_path`, a class or a function, called with its `init_args`.

    A recipe inside is built before; a list or a dict is built entry by entry; a text stays one, unless its parameter
    takes a callable or a class of `context.named`. name: what errors call it, as "samplers.SVDD".
    Raises ValueError for what is no recipe, a class path that leads nowhere, an unknown or a missing parameter (with
    the known ones), a name that is not known; what the thing raises is raised with the name before it.
    """
    if isinstance(recipe, str):
        recipe = {"class_path": recipe}
    if not is_recipe(recipe):
        raise ValueError(f"{name}: expected {{class_path: ..., init_args: ...}}, got {recipe!r}")
    made = context.find(recipe["class_path"], name)
    given = recipe.get("init_args") or {}
    parameters, kinds = _parameters(made), _annotations(made)
    _check_names(given, parameters, recipe["class_path"], name)
    arguments: dict[str, Any] = {}
    for first in (True, False):  # what is a default of all that is inside, before that
        for key, entry in given.items():
            if (key in context.defaults) is first:
                arguments[key] = _argument(entry, kinds.get(key), context, f"{name}.{key}")
                context = replace(context, defaults={**context.defaults, key: arguments[key]}) if first else context
    known = parameters or {}
    left = {key: each for key, each in context.defaults.items() if key in known and key not in arguments}
    try:
        return _call(made, {**arguments, **left}, known)
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError  # some of their own take other arguments
        raise kind(f"{name}: {error}") from error


def _call(made: Callable, arguments: dict[str, Any], parameters: Mapping[str, inspect.Parameter]) -> Any:
    """Call it with arguments by name; those of `*rest` come as a list under that name."""
    several = [name for name, each in parameters.items() if each.kind is inspect.Parameter.VAR_POSITIONAL]
    if not set(several) & set(arguments):
        return made(**arguments)
    ordered = {name: arguments[name] for name in parameters if name in arguments}
    bound = inspect.BoundArguments(inspect.Signature([*parameters.values()]), ordered)
    return made(*bound.args, **bound.kwargs)


def is_recipe(thing: Any) -> bool:
    """Whether it is a dict of a class path and, where there are some, its arguments."""
    return isinstance(thing, Mapping) and isinstance(thing.get("class_path"), str) and set(thing) <= KEYS


def import_thing(class_path: str, name: str = "class_path") -> Any:
    """What stands at a path: "svlearn.svdd", "my_module.Network", "svlearn.values.Switch.fit"."""
    parts = class_path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            thing = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise ValueError(f"{name}: {class_path} could not be imported: {error}") from error
            continue
        for part in parts[end:]:
            if not hasattr(thing, part):
                raise ValueError(f"{name}: expected what can be imported, got {class_path}: no {part} in {module}")
            thing = getattr(thing, part)
        return thing
    raise ValueError(f"{name}: expected what can be imported, as module.Class, got {class_path!r}")


def _argument(entry: Any, kind: Any, context: Context, name: str) -> Any:
    if is_recipe(entry):
        return build(entry, context, name)
    kinds = _classes(kind)
    if isinstance(entry, Mapping):
        for each in kinds:
            if isinstance(each, type) and dataclasses.is_dataclass(each):
                inside = {"class_path": f"{each.__module__}.{each.__qualname__}", "init_args": entry}
                return build(inside, context, name)
        return {key: _argument(each, None, context, f"{name}.{key}") for key, each in entry.items()}
    if isinstance(entry, list):
        inner = next(iter(typing.get_args(kind)), None)
        return [_argument(each, inner, context, f"{name}[{place}]") for place, each in enumerate(entry)]
    if not isinstance(entry, str):
        return entry
    for named, look_up in context.named.items():
        if any(isinstance(each, type) and issubclass(each, named) for each in kinds):
            return look_up(entry)
    return context.find(entry, name) if Callable in kinds else entry


def _classes(kind: Any) -> list[Any]:
    """The classes that an annotation allows, without what stands in their brackets."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [each for part in typing.get_args(kind) for each in _classes(part)]
    return [typing.get_origin(kind) or kind]


def _parameters(made: Any) -> dict[str, inspect.Parameter] | None:
    """The parameters; None where they cannot be known, as of a function in C."""
    try:
        return dict(inspect.signature(made).parameters)
    except (ValueError, TypeError):
        return None


def _annotations(made: Any) -> dict[str, Any]:
    """The classes of the parameters, as far as they can be known."""
    try:
        return typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except Exception:  # of a user's own module: a name that only a type checker knows
        return {}


def _check_names(
    given: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter] | None, class_path: str, name: str
) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: expected init_args by name, got {given!r}")
    if parameters is None or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for key in given:
        if key not in parameters:
            near = difflib.get_close_matches(str(key), parameters, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{name}: {class_path} takes {', '.join(parameters) or 'no arguments'}, got {key!r}{hint}")
