"""What a command ends with: what was written where."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def show(text: str) -> None:
    """Print it; a terminal or a pipe that is gone, or has no such letters, costs no file."""
    try:
        print(text, flush=True)
    except (OSError, UnicodeError) as error:
        print(f"not all could be printed: {error}", file=sys.stderr)


def attempt(path: Path, make: Callable[[Path], Any]) -> bool:
    """Write one file; where that fails, say so, and let the others be written."""
    try:
        make(path)
    except Exception as error:
        print(f"{path} was not written: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def show_written(files: Mapping[Path, str]) -> None:
    """The files, and what each holds, a line each; nothing where there are none."""
    if files:
        show("\n".join(["written:", *(f"  {path}  {what}" for path, what in files.items())]))
