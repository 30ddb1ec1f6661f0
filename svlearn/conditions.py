"""Conditions: what samples are conditioned on (a prompt, a class, fixed places), as rows, one to a sample.

A condition is a leaf of the state that no step changes; `Reference.initial(condition=)` puts it there. Rows are

    a tensor (N, ...), a TensorDict of batch size (N, ...), a list of N (of strings, say), or a dict of such rows

and are handed to `initial` as what they are; a map-style `Dataset` is collated to them, an array of numbers becomes a
tensor. A training may also be given a callable of (number, generator) that returns so many rows.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import IterableDataset, default_collate

from svlearn.state import number_of_rows, take, to_device

ALL = "all"  # stands for all conditions together where each has its label
LONGEST_LABEL = 60
WANTED = "a tensor, a TensorDict, a dict of rows, a list or a Dataset"


class Conditions:
    """What a training draws its conditions from, uniformly with replacement.

    source: rows, of which a `Dataset` is only read where it is drawn; or a callable of (number, generator).
    Raises TypeError for what is neither, ValueError for no rows and for a dict of rows of different numbers.
    """

    def __init__(self, source: Any, name: str = "conditions"):
        self.name = name
        self.source = source if _is_dataset(source) or _is_callable(source) else as_rows(source, name)
        if _is_dataset(source) and len(source) == 0:
            raise ValueError(f"{name}: expected at least one row, got none")

    @classmethod
    def of(cls, source: Any, name: str = "conditions") -> "Conditions | None":
        """None stays None, and what is a `Conditions` itself."""
        return source if source is None or isinstance(source, cls) else cls(source, name)

    def aligned(self, align: Callable[[Any], Any]) -> "Conditions":
        """The same, of rows that `align` returns, which is `Reference.aligned`; what is read where it is drawn, a
        Dataset or a callable, is as it is."""
        if _is_callable(self.source) or _is_dataset(self.source):
            return self
        return Conditions(align(self.source), self.name)

    def draw(self, number: int, generator: torch.Generator) -> Any:
        """`number` rows, their tensors on the generator's device.

        Raises ValueError where a callable returns another number of rows.
        """
        if _is_callable(self.source):
            rows = as_rows(self.source(number, generator), f"{self.name}(number, generator)")
            if number_of_rows(rows) != number:
                raise ValueError(f"{self.name}: expected {number} rows of the callable, got {number_of_rows(rows)}")
            return to_device(rows, generator.device)
        size = len(self.source) if _is_dataset(self.source) else number_of_rows(self.source)
        index = torch.randint(size, (number,), generator=generator, device=generator.device)
        if _is_dataset(self.source):
            return to_device(_collated(self.source, index.tolist(), self.name), generator.device)
        return to_device(_take_rows(self.source, index), generator.device)


def draw_rows(conditions: Conditions | None, number: int, generator: torch.Generator) -> Any:
    """`number` rows to hand on as `condition=`; None, and nothing drawn, without conditions."""
    return None if conditions is None else conditions.draw(number, generator)


def as_rows(condition: Any, name: str = "condition") -> Any:
    """The rows of what a caller gives: a tensor, a TensorDict, a list, or a dict of these.

    Raises TypeError for what holds no rows, a single string and a callable among them; ValueError for none, and for a
    dict whose parts have different numbers.
    """
    if isinstance(condition, np.ndarray):
        condition = torch.as_tensor(condition) if condition.dtype.kind in "biufc" else condition.tolist()
    if isinstance(condition, (str, bytes)):
        raise TypeError(f"{name}: expected rows, got one {type(condition).__name__}; give a list of it")
    if isinstance(condition, (Tensor, TensorDict)):
        if condition.dim() == 0:
            raise ValueError(f"{name}: expected rows, shape (N, ...), got shape ()")
        rows: Any = condition
    elif isinstance(condition, (list, tuple)):
        rows = list(condition)
    elif isinstance(condition, Mapping):
        rows = {key: as_rows(part, f"{name}[{key!r}]") for key, part in condition.items()}
        numbers = {key: number_of_rows(part) for key, part in rows.items()}
        if len(set(numbers.values())) > 1:
            raise ValueError(f"{name}: expected parts of one number of rows, got {numbers}")
    elif _is_dataset(condition):
        if len(condition) == 0:
            raise ValueError(f"{name}: expected at least one row, got none")
        rows = _collated(condition, list(range(len(condition))), name)
    else:
        raise TypeError(f"{name}: expected {WANTED}, got {type(condition).__name__}")
    if number_of_rows(rows) == 0:
        raise ValueError(f"{name}: expected at least one row, got none")
    return rows


def rows_for(condition: Any, number: int, each: str) -> Any:
    """`as_rows` of a condition that has one row for each of `number` things, named by `each`; None stays None.

    Raises ValueError for another number of rows, and as `as_rows`.
    """
    if condition is None:
        return None
    rows = as_rows(condition)
    if number_of_rows(rows) != number:
        advice = "give as many as samples are drawn, one of them more than once where it is meant for several"
        raise ValueError(f"condition: expected {number} rows, one {each}, got {number_of_rows(rows)}; {advice}")
    return rows


def distinct(rows: Any) -> tuple[Tensor, Tensor]:
    """The place of the first row of each condition, (C,), in their order, and which condition each row is, (N,)."""
    numbers: dict[Hashable, int] = {}
    firsts, which = [], []
    for place, key in enumerate(_keys(rows)):
        if key not in numbers:
            numbers[key] = len(numbers)
            firsts.append(place)
        which.append(numbers[key])
    return torch.tensor(firsts), torch.tensor(which)


def labels(rows: Any) -> list[str]:
    """A name for each row, no two alike and none of them "all": its text, its number, its parts, or its place."""
    texts: list[str] = []
    for place in range(number_of_rows(rows)):
        text = _label(take(rows, torch.tensor([place]))) or f"row {place}"
        texts.append(text if text not in (*texts, ALL) else f"{text} (row {place})")
    return texts


def _label(row: Any) -> str:
    """A single row as text, "" where it is no text and no number."""
    if isinstance(row, (dict, TensorDict)):
        parts = {str(key): _label(part) for key, part in row.items()}
        return _short(", ".join(f"{key} {text}" for key, text in parts.items() if text))
    entry = row[0]
    if isinstance(entry, str):
        return _short(" ".join(entry.split()))
    if isinstance(entry, Tensor) and entry.numel() == 1:
        entry = entry.item()
    return f"{entry:.6g}" if isinstance(entry, float) else str(entry) if isinstance(entry, (bool, int)) else ""


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def _keys(rows: Any) -> list[Hashable]:
    """What tells rows apart."""
    if isinstance(rows, (dict, TensorDict)):
        parts = [_keys(part) for part in rows.values()]
        return list(zip(*parts, strict=True))
    if isinstance(rows, Tensor):
        return [tuple(row) for row in rows.flatten(1).tolist()] if rows.dim() > 1 else rows.tolist()
    return [_key(entry) for entry in rows]


def _key(entry: Any) -> Hashable:
    if isinstance(entry, Tensor):
        return (tuple(entry.shape), tuple(entry.flatten().tolist()))
    if isinstance(entry, (list, tuple)):
        return tuple(_key(each) for each in entry)
    if isinstance(entry, Mapping):
        return tuple((key, _key(each)) for key, each in entry.items())
    return entry if isinstance(entry, Hashable) else id(entry)


def _take_rows(rows: Any, index: Tensor) -> Any:
    """Rows by an index of another device, too."""
    if isinstance(rows, dict):
        return {key: _take_rows(part, index) for key, part in rows.items()}
    if isinstance(rows, (Tensor, TensorDict)) and rows.device is not None:
        index = index.to(rows.device)
    return take(rows, index)


def _collated(dataset: Any, places: list[int], name: str) -> Any:
    """The items of a dataset as rows. A tuple of one, as of a TensorDataset, is what it holds."""
    items = [dataset[place] for place in places]
    items = [each[0] if isinstance(each, tuple) and len(each) == 1 else each for each in items]
    if isinstance(items[0], TensorDict):
        return torch.stack(items)
    if isinstance(items[0], (tuple, list)):
        kind = f"a {type(items[0]).__name__} of {len(items[0])}"
        raise TypeError(f"{name}: expected a Dataset of tensors, numbers, strings or dicts, got one of {kind}")
    return as_rows(default_collate(items), name)


def _is_dataset(thing: Any) -> bool:
    """Whether it is read by places: a map-style `Dataset`, or what is read as one."""
    known = isinstance(thing, (Tensor, TensorDict, np.ndarray, Mapping, list, tuple, str, bytes, IterableDataset))
    return not known and hasattr(thing, "__len__") and hasattr(thing, "__getitem__")


def _is_callable(thing: Any) -> bool:
    known = isinstance(thing, (Tensor, TensorDict, np.ndarray, Mapping, list, tuple, type))
    return not known and callable(thing) and not _is_dataset(thing)
