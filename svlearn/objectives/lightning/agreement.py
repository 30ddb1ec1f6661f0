"""That processes which train together were given the same, seen before the first step."""

from typing import Any

import pytorch_lightning as pl

from svlearn import process_group

PLAIN = (bool, int, float, str, type(None))
OF_TRAINER = ("max_steps", "accumulate_grad_batches", "val_check_interval", "limit_val_batches", "gradient_clip_val")


def check_agreement(objective: pl.LightningModule, reference: str) -> None:
    """All that can be told of an objective, its data and its trainer as plain numbers and words; a call of all.

    reference: the fingerprint of the reference. Raises ValueError in every process, which names each argument that
    differs and who was given what: otherwise they would wait for each other, or learn of two things.
    """
    trainer = objective.trainer
    texts: dict[str, Any] = {"objective": type(objective).__name__, "reference": reference}
    texts |= _plain(objective) | {name: getattr(trainer, name, None) for name in OF_TRAINER}
    texts["alpha"] = getattr(getattr(objective, "target", None), "alpha", None)
    data = getattr(trainer, "datamodule", None)
    texts["data"] = type(data).__name__
    if type(data).__module__.startswith("svlearn."):  # another's may well hold a part for each process
        texts |= {f"data.{name}": value for name, value in _plain(data).items()}
    process_group.agree(texts)


def _plain(thing: Any) -> dict[str, Any]:
    """The public attributes that are numbers, words, or tuples of them."""
    held = getattr(thing, "__dict__", {})
    return {name: value for name, value in held.items() if not name.startswith("_") and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if type(value) is tuple else type(value) in PLAIN
