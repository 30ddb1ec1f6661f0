"""The shipped configurations, by name: `--config qm9` is configs/molecules/qm9/evaluate.yaml for `evaluate`."""

from collections.abc import Sequence
from pathlib import Path

from svlearn.loading import package_data

OPTIONS = ("--config", "-c")


def shipped_configs(file: str) -> dict[str, Path]:
    """All configurations that a command can take, by name.

    file: that of the command in each reference's folder, "evaluate.yaml": <domain>/qm9/evaluate.yaml is "qm9". What
    lies in folders below, to go on top of it, is named by its path: <domain>/qm9/values/soft_q.yaml is
    "qm9/values/soft_q". So is every other file: <domain>/qm9/demo.yaml is "qm9/demo".
    """
    paths = {}
    for path in sorted(package_data("configs").rglob("*.yaml")):
        parts = path.relative_to(package_data("configs")).with_suffix("").parts[1:]  # without the domain
        named = "/".join(parts)
        paths[parts[0] if len(parts) == 2 and path.name == file else named] = path
    return paths


def starting_points(file: str) -> list[str]:
    """The names that a command can start with."""
    return [name for name in shipped_configs(file) if "/" not in name]


def expand(arguments: Sequence[str], file: str) -> list[str]:
    """A command line with the path of each shipped configuration in the place of its name; a file goes before."""
    known, expanded = shipped_configs(file), list(arguments)
    for place, argument in enumerate(expanded):
        option, equals, name = argument.partition("=")
        if option not in OPTIONS:
            continue
        if equals and name in known and not Path(name).is_file():
            expanded[place] = f"{option}={known[name]}"
        elif not equals and place + 1 < len(expanded):
            name = expanded[place + 1]
            if name in known and not Path(name).is_file():
                expanded[place + 1] = str(known[name])
    return expanded


def described(description: str | None, file: str) -> str:
    """A command's help, with the shipped configurations that it can start with."""
    names = ", ".join(starting_points(file))
    shipped = f"\nShipped configurations, for --config: {names}. A path of a YAML is taken as well.\n" if names else ""
    return f"{description or ''}{shipped}"
