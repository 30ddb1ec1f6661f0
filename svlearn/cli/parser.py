"""What the commands share: errors of one line, names in full, shipped configurations, and a user's own modules."""

import difflib
import importlib
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonargparse
import lightning_fabric
import pytorch_lightning
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import LightningArgumentParser

import svlearn
from svlearn.cli.configs import described, expand
from svlearn.cli.overrides import put, split
from svlearn.cli.teaching import TeachingFormatter
from svlearn.files import user_path
from svlearn.objectives import Objective
from svlearn.policies import Policy
from svlearn.values import Value

LATE = "Customize every aspect of training"  # the title of Lightning's own options
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")  # what a class path looks like
LIBRARIES = (svlearn, jsonargparse, pytorch_lightning, lightning_fabric)
OWN_CODE = tuple(str(Path(str(file)).parent) for file in (__file__, *(each.__file__ for each in LIBRARIES)))
NOISE = ("Does not validate", "Subtypes:", "Errors:", "Given value type", "- Expected a <class 'NoneType'>")


class Parser(LightningArgumentParser):
    """A parser that takes no abbreviation, says in one line what is wrong, and lists Lightning's own options last."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": TeachingFormatter, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> jsonargparse.Namespace:
        words = list(sys.argv[1:] if args is None else args)
        options = set(_options(self))
        for name in _class_paths(words, {each.removesuffix(".help") for each in options if each.endswith(".help")}):
            _annotate(name)
        return super().parse_args(words, *rest, **kwargs)

    def format_help(self) -> str:
        self._action_groups = sorted(self._action_groups, key=lambda group: (group.title or "").startswith(LATE))
        return super().format_help()

    def error(self, message: str, ex: Exception | None = None) -> Any:
        if os.environ.get("JSONARGPARSE_DEBUG") or not self.exit_on_error:
            return super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        say(f"{one_line(message)}{_nearest(message, self)}", f"`{parser.prog.replace(' [options]', '')} --help`")
        sys.exit(2)


def say(message: str, more: str) -> None:
    """One line on the standard error: what was wrong, and where more is said."""
    sys.stderr.write(f"{Path(sys.argv[0]).name}: error: {message} ({more} tells more)\n")


def one_line(message: str) -> str:
    """The key and what was wrong with its value, where a message of jsonargparse is many lines long."""
    lines = [line.strip() for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith(NOISE)]
    keys = [match[1] for line in lines if (match := re.fullmatch(r'Parser key "(.+)":', line))]
    rest = [line.removeprefix("- ") for line in lines if not re.fullmatch(r'Parser key "(.+)":', line)]
    rest = [re.sub(r"Problem with given class_path ('.+'):", r"\1:", line) for line in rest]
    rest = [re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", line.replace("typing.", "")) for line in rest]
    rest = [re.sub(r"NestedArg\(key='(.+)', val='(.*)'\)", r"\1=\2", line) for line in rest]
    text = " ".join(line if line.endswith((":", ".")) else f"{line};" for line in rest).rstrip(";")
    text = text if len(text) <= 600 else f"{text[:600]} ..."
    return f"{'.'.join(keys)}: {text}" if keys else text


def _nearest(message: str, parser: jsonargparse.ArgumentParser) -> str:
    """The known name that an unknown one is nearest to, as a sentence; empty where none is near."""
    option = re.search(r"[Uu]nrecognized arguments: (--[\w.\-]+)", message)
    key = re.search(r"Option '([\w.]+)' is not accepted", message)
    if option is None and key is None:
        return ""
    unknown = option[1] if option is not None else key[1] if key is not None else ""
    paths = re.findall(r"class_path '([\w.]+)'", message)
    known = _options(parser)
    if paths:
        unknown = unknown.lstrip("-").split(".")[-1]
        known = _parameters(paths[-1])
    near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _options(parser: jsonargparse.ArgumentParser) -> list[str]:
    """All options of a parser and of its subcommands."""
    known = [name for name in parser._option_string_actions if name.startswith("--")]
    if parser._subcommands_action is not None:
        for each in parser._subcommands_action._name_parser_map.values():
            known += _options(each)
    return known


def _parameters(class_path: str) -> list[str]:
    """The parameters of a class, those of the classes it is derived from too, or of a function."""
    thing = _import(class_path)
    known: list[str] = []
    for each in getattr(thing, "__mro__", [thing]):
        function = each.__init__ if inspect.isclass(each) else each
        if callable(function) and function is not object.__init__:
            known += inspect.signature(function).parameters
    return [name for name in known if name not in ("self", "args", "kwargs")]


def _class_paths(arguments: Sequence[str], of_classes: set[str]) -> Iterator[str]:
    """The class paths of a command line and of the configurations that it names. of_classes: options that take one as
    it is, without the word class_path."""
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        value = value or (arguments[place + 1] if place + 1 < len(arguments) else "")
        if name.endswith("class_path") or (name in of_classes and DOTTED.fullmatch(value)):
            yield value
        elif name in ("--config", "-c"):
            try:
                yield from _within(yaml.safe_load(user_path(value).read_text(encoding="utf-8")))
            except (OSError, ValueError, yaml.YAMLError):
                pass  # the parser says what is wrong with it


def _within(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, each in content.items():
            if isinstance(each, str) and DOTTED.fullmatch(each) and (key == "class_path" or not Path(each).exists()):
                yield each
            else:
                yield from _within(each)
    elif isinstance(content, list):
        for each in content:
            yield from _within(each)


def _annotate(class_path: str) -> None:
    """Let a function without a return annotation stand where a class is wanted: jsonargparse reads what it returns from
    the annotation alone. What it does return is checked where it is used."""
    thing = _import(class_path)
    if inspect.isfunction(thing) and "return" not in thing.__annotations__:
        thing.__annotations__["return"] = Made


class Made(Objective, Policy, Value):  # type: ignore[misc]
    """Stands for the module that a function without a return annotation makes; never made itself."""


def _import(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name, None) if module else None
    except Exception:  # the parser imports it again, and says what is wrong
        return None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Modules of the working directory are found; what svlearn, Lightning or the parser refuses is said in one line.

    An exception from anywhere else, a user's code above all, keeps its traceback; all do with JSONARGPARSE_DEBUG set.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        yield
    except (ValueError, TypeError, OSError, MisconfigurationException) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = bool(frames) and frames[-1].filename.startswith(OWN_CODE)
        if not ours or os.environ.get("JSONARGPARSE_DEBUG"):
            raise
        say(one_line(str(error)), "JSONARGPARSE_DEBUG=1")
        sys.exit(1)


def call(
    function: Callable,
    description: str | None,
    file: str = "",
    *,
    mappings: Sequence[str] = (),
    show: bool = False,
) -> None:
    """Run a function with the arguments of the command line; one that takes `request` gets them all, as JSON holds
    them. file: that of the command among the shipped configurations. mappings: options that are mappings of a YAML,
    whose entries can be overridden. show: print what it returns."""
    with plain_errors():
        parser = Parser(description=described(description, file) if file else description)
        parser.add_argument("-c", "--config", action=jsonargparse.ActionConfigFile, help="a configuration in YAML")
        parser.add_function_arguments(function, skip={"request"})
        words, changes = split(expand(sys.argv[1:], file) if file else sys.argv[1:], mappings)
        config = parser.parse_args(words)
        for change in changes:
            config[change[0]] = put(config[change[0]], change)
        request = json.loads(parser.dump(config, format="json", skip_validation=True))
        arguments = parser.instantiate(config)
        arguments.pop("config", None)
        options = {"request": request} if "request" in inspect.signature(function).parameters else {}
        returned = function(**arguments, **options)
        if show:
            print(returned)
