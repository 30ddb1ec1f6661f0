"""What the benchmarks keep in runs/, told apart by what it was made of and not by its path alone."""

import json
from pathlib import Path
from typing import Any

from svlearn.files import sha256_of, write

ROOT = Path(__file__).parents[2]


def missing(file: Path, **made_of: Any) -> bool:
    """Whether a file is still to be made; then notes beside it what it will be made of.

    made_of: anything that JSON can hold. Raises ValueError for a file that was made of something else, or that does not
    say: hours of work are not thrown away unasked, nor taken for what they are not.
    """
    note, wanted = file.with_name(f"{file.name}.made_of.json"), json.loads(json.dumps(made_of))
    if not file.exists():
        write(note, json.dumps(wanted))
        return True
    held = json.loads(note.read_text()) if note.exists() else {}
    differ = [name for name in {**wanted, **held} if wanted.get(name) != held.get(name)]
    if differ:
        told = "; ".join(f"{name} {wanted.get(name)!s:.200}, got {held.get(name)!s:.200}" for name in differ)
        raise ValueError(f"{file}: expected what is made of {told}; move it away to have it made anew")
    return False


def configs(*files: Path) -> dict[str, str]:
    """The SHA-256 of settings, by file."""
    return {str(file.relative_to(ROOT)): sha256_of(file) for file in files}
