"""What a network says of sequences, and of those alone that have changed since it was called for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from svlearn.state import concatenate, take


@dataclass(frozen=True, eq=False)
class Denoised:
    """The logits (B, L, V) and last hidden states (B, L, C), None where they are not told, of sequences x."""

    x: Tensor
    logits: Tensor
    hidden: Tensor | None = None

    def __getitem__(self, index: Any) -> "Denoised":
        return Denoised(take(self.x, index), take(self.logits, index), take(self.hidden, index))

    @classmethod
    def cat(cls, parts: Sequence["Denoised"]) -> "Denoised":
        return cls(*(concatenate([getattr(part, name) for part in parts]) for name in ("x", "logits", "hidden")))


def keeps_outputs(network: nn.Module) -> bool:
    """Whether what it said of a sequence is right at any time: where it says that it does not read the time."""
    return not getattr(network, "reads_time", True)


def denoise(
    network: nn.Module, x: Tensor, moments: Tensor, before: Denoised | None = None
) -> tuple[Denoised, Tensor | None]:
    """What the network says of sequences x at their times (B,), and how often it was called for each (B,), long; None:
    once.

    before: what it said of the sequences a step earlier; for those that have not changed it is not called.
    """
    if before is None:
        return _called(network, x, moments), None
    changed = (x != before.x).any(dim=1)
    rows = changed.nonzero().squeeze(1)
    if len(rows) == len(x):
        return _called(network, x, moments), None
    if not len(rows):
        return before, changed.long()
    new = _called(network, take(x, rows), take(moments, rows))
    logits = before.logits.index_copy(0, rows, new.logits.to(before.logits.dtype))
    hidden = before.hidden
    if hidden is not None and new.hidden is not None:
        hidden = hidden.index_copy(0, rows, new.hidden.to(hidden.dtype))
    return Denoised(x, logits, hidden), changed.long()


def _called(network: nn.Module, x: Tensor, moments: Tensor) -> Denoised:
    if not getattr(network, "tells_hidden", False):
        return Denoised(x, network(x, moments))
    telling = cast(Any, network)
    states = telling.hidden(x, moments)
    return Denoised(x, telling.head(states), states)
