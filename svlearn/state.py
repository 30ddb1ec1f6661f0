"""States: a `torch.Tensor` or a `tensordict.TensorDict` whose first dimension is the batch."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from tensordict import TensorDict
from torch import Tensor

State: TypeAlias = Tensor | TensorDict


def device_of_state(x: State) -> torch.device:
    """Where a state lives; for a TensorDict, where its first leaf does, for it may have been given no device."""
    if x.device is not None:
        return x.device
    return cast(Tensor, next(iter(x.values(include_nested=True, leaves_only=True)))).device


def flattened(x: Tensor) -> Tensor:
    """A tensor (B, ...) as (B, N), N = 1 where a row is a number."""
    return x.unsqueeze(1) if x.dim() == 1 else x.flatten(1)


def number_of_rows(rows: Any) -> int:
    """B of a state, of anything that follows the particles, of a plain sequence, and of a dict of such."""
    return number_of_rows(next(iter(rows.values()))) if isinstance(rows, dict) and rows else len(rows)


def to_device(rows: Any, device: torch.device) -> Any:
    """The tensors and TensorDicts of rows on a device, in a dict too; all else as it is."""
    if isinstance(rows, dict):
        return {key: to_device(part, device) for key, part in rows.items()}
    return rows.to(device) if isinstance(rows, (Tensor, TensorDict)) else rows


def repeat(rows: Any, times: int) -> Any:
    """Each row `times` times, copies side by side: (B, ...) to (B · times, ...)."""
    return rows if times == 1 else take(rows, torch.arange(number_of_rows(rows)).repeat_interleave(times))


def take(rows: Any, index: Any) -> Any:
    """rows[index] of a state, of anything that follows the particles, of a plain sequence, or of a dict of such; None
    stays None. All rows as they are where the index is None. Numbers in an index are at least 0."""
    if rows is None or index is None:
        return rows
    if isinstance(rows, (list, tuple)):
        return [rows[i] for i in index.tolist()]
    if isinstance(rows, dict):
        return {name: take(part, index) for name, part in rows.items()}
    if isinstance(index, Tensor) and index.dtype == torch.long and index.dim() == 1:  # as in every step of a sampler
        if isinstance(rows, Tensor) and rows.device == index.device:  # a GPU's rows take an index of the CPU below
            return rows.index_select(0, index)  # in half the time of rows[index]
        if type(rows) is TensorDict:
            chosen = {name: take(leaf, index) for name, leaf in rows.items()}
            return TensorDict(chosen, batch_size=[index.shape[0], *rows.batch_size[1:]], device=rows.device)
    return rows[index]


def trajectories_of(entries: dict[str, Any], number: int) -> TensorDict:
    """So many trajectories of what `to_dict` made of them: states that are TensorDicts are (B, T + 1) again."""
    trajectories = TensorDict(entries, batch_size=[number])
    states = trajectories.get("states", None)
    if isinstance(states, TensorDict):
        states.auto_batch_size_(2)
    return trajectories


def concatenate(parts: Sequence[Any]) -> Any:
    """Join batches along their first dimension: tensors, TensorDicts, or objects whose class has `cat(parts)`."""
    first = parts[0]
    if first is None or len(parts) == 1:
        return first
    if isinstance(first, (Tensor, TensorDict)):
        try:
            return torch.cat(list(parts))
        except RuntimeError as error:
            shapes = list(dict.fromkeys(map(_row_shapes, parts)))
            if len(shapes) == 1:
                raise
            raise ValueError(
                f"states: expected batches whose rows have one shape, got {' and '.join(shapes[:2])}; where they are "
                "of conditions, as prompts of unequal lengths, give rows of one shape, which `reference.prompts` makes"
            ) from error
    if not hasattr(type(first), "cat"):
        raise TypeError(
            f"{type(first).__name__} cannot be cut by max_batch: give the class a method cat(parts) that joins batches"
        )
    return type(first).cat(parts)


def _row_shapes(rows: State) -> str:
    if isinstance(rows, Tensor):
        return str(tuple(rows.shape[1:]))
    leaves = {str(name): tuple(leaf.shape[1:]) for name, leaf in rows.items(True, True)}
    return ", ".join(f"{name} {shape}" for name, shape in sorted(leaves.items()))


def times(t: int | Tensor, batch_size: int, device: torch.device | str | None = None) -> Tensor:
    """Time as every process and value reads it: a LongTensor (B,), of one number or as it is given."""
    if isinstance(t, Tensor):
        return t if t.dim() else t.expand(batch_size)
    return torch.full((batch_size,), t, dtype=torch.long, device=device)
