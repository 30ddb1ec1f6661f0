"""The guard: a loss, a term or a gradient that is not finite stops the training, and leaves its batch on the disk."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
from safetensors import SafetensorError
from safetensors.torch import save_file
from tensordict import TensorDict
from torch import Tensor

from svlearn.checkpoints import entry, read_record, read_tensors
from svlearn.targets import NonFiniteError


class NonFiniteGuard:
    """What one training step of an objective looks at: its batch and its terms, held until the next one begins."""

    def __init__(self) -> None:
        self.trajectories: TensorDict | None = None
        self.terms: dict[str, Tensor] = {}

    @contextmanager
    def over(self, objective: pl.LightningModule) -> Iterator[None]:
        """A training step: a NonFiniteError from inside stops it, told with the step and where the batch is."""
        self.trajectories, self.terms = None, {}
        try:
            yield
        except NonFiniteError as error:
            if self.trajectories is None:  # it comes from the roll-out
                self.trajectories = error.trajectories
            raise self._stopped(objective, str(error)) from error

    def check_loss(self, loss: Tensor) -> None:
        """Raise NonFiniteError, with the terms, for a loss that is NaN or infinite."""
        if not math.isfinite(loss.item()):
            raise NonFiniteError(f"loss: expected a finite number, got {loss.item()}{self._describe_terms()}")

    def check_gradient(self, objective: pl.LightningModule, norm: Tensor) -> None:
        """Raise NonFiniteError, with the parameter, for a gradient of a norm that is NaN or infinite."""
        if not math.isfinite(norm.item()):
            trained = [(name, each.grad) for name, each in objective.named_parameters() if each.grad is not None]
            bad = [name for name, gradient in trained if not bool(gradient.isfinite().all())]
            where = f"first in {bad[0]}" if bad else "as the sum of all squares"
            reason = f"gradient: expected a finite norm, got {float(norm)}, {where}"
            raise self._stopped(objective, reason + self._describe_terms())

    def _describe_terms(self) -> str:
        """The terms: the first number of each that is not finite, or from what to what it goes."""
        texts = []
        for name, term in self.terms.items():
            term = term.flatten()
            bad = (~term.isfinite()).nonzero()
            if len(bad):
                texts.append(f"{name} is {float(term[bad[0]])} at index {int(bad[0])}")
            elif len(term):
                texts.append(f"{name} is from {float(term.min()):.4g} to {float(term.max()):.4g}")
        return "".join(f"; {each}" for each in texts)

    def _stopped(self, objective: pl.LightningModule, reason: str) -> NonFiniteError:
        step, kind = objective.global_step, type(objective).__name__
        message = f"training step {step} of {kind}: {reason}"
        if self.trajectories is None:
            return NonFiniteError(message)
        trainer = getattr(objective, "_trainer", None)  # `trainer` raises where there is none
        path = Path("." if trainer is None else trainer.default_root_dir) / f"not_finite_step_{step}.safetensors"
        try:
            save_batch(self.trajectories, path, step=step, objective=kind, reason=reason)
        except (OSError, SafetensorError) as error:
            return NonFiniteError(f"{message}; its batch could not be saved to {path} ({error})")
        stopped = NonFiniteError(f"{message}; its batch is in {path}: svlearn.objectives.lightning.load_batch reads it")
        stopped.trajectories = self.trajectories
        return stopped


def save_batch(trajectories: TensorDict, path: Path, **record: object) -> Path:
    """Write a batch of trajectories to a safetensors file, with a record that `checkpoints.read_record` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nested = trajectories.items(include_nested=True)
    dims = {_name(key): field.batch_dims for key, field in nested if isinstance(field, TensorDict)}
    leaves = trajectories.items(include_nested=True, leaves_only=True)
    tensors = {_name(key): cast(Tensor, field).detach().cpu().clone().contiguous() for key, field in leaves}
    record = record | {"batch_dims": dims, "size": len(trajectories)}
    save_file(tensors, path, metadata={"svlearn": json.dumps(record)})
    return path


def load_batch(path: str | Path) -> TensorDict:
    """The batch of trajectories that a guard has saved, on the CPU: what the `loss` of its objective takes.

    Raises FileNotFoundError where there is none, ValueError for a file that no guard has saved.
    """
    record = read_record(path)
    size, dims = entry(record, "size", int, path), entry(record, "batch_dims", dict, path)
    tensors = {tuple(name.split("/")): tensor for name, tensor in read_tensors(path).items()}
    try:
        batch = TensorDict({}, batch_size=[size])
        for key, field in tensors.items():
            batch[key] = field
        for name, number in dims.items():
            key = tuple(name.split("/"))
            leaf = next(field for other, field in tensors.items() if other[: len(key)] == key)
            batch[key].batch_size = leaf.shape[:number]
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, StopIteration) as error:
        raise ValueError(f"{path}: expected a batch that a guard has saved, got another file ({error!r})") from error
    return batch


def _name(key: str | tuple[str, ...]) -> str:
    return key if isinstance(key, str) else "/".join(key)
