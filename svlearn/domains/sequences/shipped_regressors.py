"""Regressors on disk: the shipped ones by name, and one's own by path."""

from pathlib import Path
from typing import Any

from svlearn import checkpoints
from svlearn.domains.sequences.kmers import KmerRegression
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.loading import shipped

SHIPPED = ("mrl", "hepg2-activity", "yeast-expression", "plant-strength")
KINDS = {"sequence-regressor": SequenceRegressor, "kmer-regression": KmerRegression}  # by family

Regressor = SequenceRegressor | KmerRegression


def load_regressor(name_or_path: str | Path) -> Regressor:
    """The shipped regressor of that name (`SHIPPED`), or the one in a file, in evaluation mode, its weights frozen.

    Raises ValueError for an unknown name, listing the known ones, and for a checkpoint of another family,
    FileNotFoundError for a path that does not exist.
    """
    name = str(name_or_path)
    if name in SHIPPED:
        path = shipped(file_of(name))
    elif Path(name).suffix:
        path = Path(name)
    else:
        raise ValueError(f"name_or_path: expected a file or one of {', '.join(SHIPPED)}, got {name!r}")
    record = checkpoints.read_record(path)
    family = record.get("family")
    if family not in KINDS:
        raise ValueError(f"{path}: expected a checkpoint of family {' or '.join(KINDS)}, got {family!r}")
    network: Regressor = checkpoints.build(KINDS[family], record, path)
    return checkpoints.load_into(network, path).eval().requires_grad_(False)


def save_regressor(network: Regressor, path: str | Path, **record: Any) -> Path:
    """Write a trained regressor with how it is built, and with what else is to be known of it."""
    (family,) = (name for name, kind in KINDS.items() if isinstance(network, kind))
    return checkpoints.save(network, path, family=family, network=network.hyperparameters, **record)


def file_of(name: str) -> str:
    """The shipped file of a name."""
    return f"regressor_{name.replace('-', '_')}.safetensors"
