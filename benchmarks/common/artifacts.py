"""What studies keep in runs/, told apart by what it was made of and not by its path alone; and how it is trained."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.clock import clock, since
from benchmarks.common.paths import ROOT
from svlearn.files import sha256_of, write


def missing(file: Path, **made_of: Any) -> bool:
    """Whether a file is still to be made; then notes beside it what it will be made of.

    made_of: anything that JSON can hold. Raises ValueError for a file that was made of something else, or that does not
    say: hours of work are not thrown away unasked, nor taken for what they are not.
    """
    note, expected = file.with_name(f"{file.name}.made_of.json"), json.loads(json.dumps(made_of))
    if not file.exists():
        write(note, json.dumps(expected))
        return True
    held = json.loads(note.read_text()) if note.exists() else {}
    differ = [name for name in {**expected, **held} if expected.get(name) != held.get(name)]
    if differ:
        text = "; ".join(f"{name} {expected.get(name)!s:.200}, got {held.get(name)!s:.200}" for name in differ)
        raise ValueError(f"{file}: expected what is made of {text}; move it away to have it made anew")
    return False


def configs(*files: Path) -> dict[str, str]:
    """The SHA-256 of settings, by file."""
    return {str(file.relative_to(ROOT)): sha256_of(file) for file in files}


def train(script: str, settings: Sequence[Path], folder: Path, *options: str) -> dict[str, float]:
    """Run a training script of the repository, which leaves what it makes in a folder; the seconds that it takes.

    settings: YAML files, in their order; options: more words of the command line.
    """
    words = [word for file in settings for word in ("--config", str(file))]
    where = ["--trainer.default_root_dir", str(folder), "--trainer.logger.init_args.save_dir", str(folder)]
    command = [sys.executable, f"scripts/{script}.py", "fit", *words, *where, *options]
    start = clock()
    subprocess.run(command, cwd=ROOT, check=True)
    return since(start)
