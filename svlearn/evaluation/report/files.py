"""Files that are either whole or not there."""

import os
from pathlib import Path


def write(path: str | Path, text: str) -> Path:
    """Write text (UTF-8) beside its place and move it there at once; makes missing folders. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
