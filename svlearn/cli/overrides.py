"""Entries of a YAML's mappings that a command line overrides: `--samplers.NAME.init_args.num_particles 20`."""

from collections.abc import Sequence
from typing import Any

import yaml

Override = tuple[str, str, Any]  # the mapping, the place in it, what is put there


def split(arguments: Sequence[str], mappings: Sequence[str]) -> tuple[list[str], list[Override]]:
    """A command line without its overrides of entries of these mappings, and those."""
    rest: list[str] = []
    overrides: list[Override] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        option, equals, value = argument.partition("=")
        mapping, dot, place = option.removeprefix("--").partition(".")
        if not (option.startswith("--") and dot and mapping in mappings):
            rest.append(argument)
            continue
        if not equals and not left:
            raise ValueError(f"{option}: expected a value after it, got nothing")
        overrides.append((mapping, place, yaml.safe_load(value if equals else left.pop(0))))
    return rest, overrides


def put(entries: dict[str, Any] | None, override: Override) -> dict[str, Any]:
    """The entries of a mapping with one changed; names may hold dots. ValueError, with the known names, for another."""
    mapping, place, value = override
    known = dict(entries or {})
    names = [name for name in known if place == name or place.startswith(f"{name}.")]
    if not names:
        raise ValueError(f"{mapping}: expected one of {', '.join(known) or 'none, as there are none'}, got {place!r}")
    name = max(names, key=len)
    rest = place[len(name) + 1 :]
    known[name] = _replaced(known[name], rest.split("."), value) if rest else value
    return known


def _replaced(entry: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    entries = dict(entry) if isinstance(entry, dict) else {}
    return {**entries, keys[0]: _replaced(entries.get(keys[0]), keys[1:], value)}
