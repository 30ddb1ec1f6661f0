"""The command line of the studies.

    python -m benchmarks                          # the studies, one line each
    python -m benchmarks gdss_table --rows DPS    # run one
    python -m benchmarks gdss_table --quote       # write its pages from the results that are there
    python -m benchmarks gdss_table --help

A study is a folder with a module `run`, whose docstring is its help, the first line that of the list.
The module has

    measure(options)      measures what the results do not have yet
    arguments(parser)     adds its options; may be left out
    pages()               the text of each page and figure, by path, from the results; without it there is no --quote
"""

import argparse
import ast
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch

from benchmarks.common.pages import write_pages
from benchmarks.common.paths import STUDIES


def studies(folder: Path = STUDIES) -> dict[str, str]:
    """The first line of each study by its name; none is imported for that."""
    sources = {path.parent.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*/run.py"))}
    return {name: (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0] for name, text in sources.items()}


def study(name: str) -> ModuleType:
    """The module `run` of a study; raises ValueError, with the names that there are, for one that is not."""
    if name not in (known := studies()):
        raise ValueError(f"study: expected one of {', '.join(known)}, got {name!r}")
    return import_module(f"benchmarks.{name}.run")


def parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    """The options of a study."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if hasattr(module, "arguments"):
        module.arguments(parser)
    if hasattr(module, "pages"):
        parser.add_argument("--quote", action="store_true", help="only write the pages from the results that are there")
    return parser


def add_choice(parser: argparse.ArgumentParser, option: str, known: Iterable[str], what: str = "only these") -> None:
    """An option that takes some of the known names; all of them where it is not given."""
    names = list(known)
    help_text = f"{what}, of {', '.join(names)} (default: all)".replace("%", "%%")
    parser.add_argument(option, nargs="+", choices=names, default=names, metavar="NAME", help=help_text)


def add_seeds(parser: argparse.ArgumentParser, default: Sequence[int], what: str) -> None:
    """--seeds, of `what`."""
    help_text = f"of {what} (default {' '.join(map(str, default))})"
    parser.add_argument("--seeds", type=int, nargs="+", default=list(default), help=help_text)


def add_again(parser: argparse.ArgumentParser) -> None:
    """--again, for a study that leaves out what its results have."""
    parser.add_argument("--again", action="store_true", help="measure also what the results have")


def main(words: Sequence[str] | None = None) -> None:
    """List the studies, or run one, on one thread of torch unless its options say otherwise."""
    words = sys.argv[1:] if words is None else list(words)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, known := studies()))
        print("\n".join(f"{name:{width}}  {line}" for name, line in known.items()))
        return
    try:
        module = study(words[0])
    except ValueError as error:
        raise SystemExit(str(error)) from error
    options = parser_of(words[0], module).parse_args(words[1:])
    if not getattr(options, "quote", False):
        sys.argv = ["-m", "benchmarks", *words]  # the command that results note; the path of this file says less
        torch.set_num_threads(1)
        module.measure(options)
    if hasattr(module, "pages"):
        write_pages(module.pages())
