"""The embeddings of prompts: encoded once for each, kept, and gathered for the rows of a batch."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import integer

Conditions = Mapping[str, Tensor]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Encoded:
    """What a network reads of a prompt, and of the negative one where guidance needs it, (1, ...) each."""

    conditions: Conditions
    null: Conditions | None = None


class EmbeddingCache:
    """The embeddings of the `most` pairs of a prompt and a negative one that were read last.

    They are those of the encoders' weights and of what is chosen as these are: `follow` forgets them where one has
    changed. What it holds is no part of what it is: a copy starts empty, as does one that is sent to another process.
    """

    def __init__(self, most: int = 1024):
        self.most = integer(most, "prompts_kept")
        self._kept: OrderedDict[Pair, Encoded] = OrderedDict()
        self._made_by: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return EmbeddingCache, (self.most,)

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def follow(self, encoders: nn.Module, chosen: Mapping[str, Any]) -> None:
        """Forget all where the encoders' weights, or what was chosen (the scale of guidance, the length of a prompt),
        are others than when this was last asked, or weights were written to."""
        weights = [*encoders.parameters(), *encoders.buffers()]
        written = [(id(each), -1 if each.is_inference() else each._version) for each in weights]
        if (written, dict(chosen)) != self._made_by:
            self.clear()
            self._made_by = (written, dict(chosen))

    def of(self, pair: Pair, encode: Callable[[str, str], Encoded]) -> Encoded:
        """As it is kept, else as `encode` says."""
        encoded = self._kept.pop(pair, None)
        if encoded is None:
            encoded = encode(*pair)
        self._kept[pair] = encoded
        if len(self._kept) > self.most:
            self._kept.popitem(last=False)
        return encoded

    def gather(self, pairs: Sequence[Pair], encode: Callable[[str, str], Encoded]) -> Encoded:
        """Those of the pairs, row by row (B, ...)."""
        places = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        encoded = [self.of(pair, encode) for pair in places]
        rows = [places[pair] for pair in pairs]
        nulls = [each.null for each in encoded if each.null is not None]
        return Encoded(_rows([each.conditions for each in encoded], rows), _rows(nulls, rows) if nulls else None)


def _rows(parts: Sequence[Conditions], rows: list[int]) -> dict[str, Tensor]:
    gathered: dict[str, Any] = {}
    for name, first in parts[0].items():
        if len(parts) == 1:
            gathered[name] = first.expand(len(rows), *first.shape[1:])
        else:
            index = torch.tensor(rows, device=first.device)
            gathered[name] = torch.cat([part[name] for part in parts]).index_select(0, index)
    return gathered
