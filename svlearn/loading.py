"""Load a pretrained reference by name or from a file.

A domain registers its references as entry points of the group `svlearn.references`: name = "module:function", where
function(path) builds the reference from a checkpoint, or from the shipped one for path None.
"""

from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path

import torch

from svlearn.checkpoints import read_record
from svlearn.files import user_path
from svlearn.process import Reference

GROUP = "svlearn.references"


def load(name_or_path: str | Path, map_location: torch.device | str | None = None) -> Reference:
    """The shipped reference of that name ("qm9", ...), or the one in a safetensors file that svlearn wrote.

    map_location: the device that it goes to; None: the CPU, where weights are read.
    Raises ValueError for an unknown name (listing the known ones), a corrupt file and one of another kind,
    FileNotFoundError for a path that does not exist. ~ in a path is the home folder.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if str(name_or_path) in known:
        return _built(known[str(name_or_path)], None, map_location)
    path = user_path(name_or_path)
    if not path.suffix and not path.exists():
        raise ValueError(f"name_or_path: expected a file or one of {', '.join(sorted(known))}, got {str(path)!r}")
    family = read_record(path).get("family")
    if not isinstance(family, str) or family not in known:
        raise ValueError(f"{path}: expected a reference of a family of {', '.join(sorted(known))}, got {family!r}")
    return _built(known[family], path, map_location)


def shipped(file: str) -> Path:
    """A file or a folder of `checkpoints/`, which are data of the package; FileNotFoundError if absent."""
    path = package_data("checkpoints") / file
    if not path.exists():
        raise FileNotFoundError(f"{file}: no such shipped checkpoint in {path.parent}")
    return path


def package_data(folder: str) -> Path:
    """A folder of the package's data: "checkpoints" or "configs". In a checkout they stand beside the package, and the
    links in svlearn/data lead to them."""
    return Path(str(files("svlearn"))) / "data" / folder


def _built(point: EntryPoint, path: Path | None, map_location: torch.device | str | None) -> Reference:
    reference = point.load()(path)
    return reference if map_location is None else reference.to(map_location)
