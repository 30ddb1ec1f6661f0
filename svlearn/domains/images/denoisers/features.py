"""The hidden states of a network's inner module, taken from the call that is made anyway."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def with_features(inner: nn.Module | None, run: Callable[[], Any]) -> tuple[Any, Tensor | None]:
    """What `run()` returns, and what the inner module returned meanwhile; None where there is no inner module, or it
    was not called. A tuple is read by its first entry."""
    if inner is None:
        return run(), None
    caught: list[Any] = []
    handle = inner.register_forward_hook(lambda module, inputs, output: caught.append(output))
    try:
        said = run()
    finally:
        handle.remove()
    last = caught[-1] if caught else None
    return said, last[0] if isinstance(last, tuple) else last
