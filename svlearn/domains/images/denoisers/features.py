"""The hidden states of a network's inner module, taken from the call that is made anyway."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def with_features(inner: nn.Module | None, run: Callable[[], Any], entry: int = 0) -> tuple[Any, Tensor | None]:
    """What `run()` returns, and what the inner module returned meanwhile; None where there is no inner module, or it
    was not called. Of a tuple the given entry is read."""
    if inner is None:
        return run(), None
    caught: list[Any] = []
    handle = inner.register_forward_hook(lambda module, inputs, output: caught.append(output))
    try:
        said = run()
    finally:
        handle.remove()
    last = caught[-1] if caught else None
    return said, last[entry] if isinstance(last, tuple) else last


def middle_block(network: nn.Module) -> nn.Module | None:
    """Of a transformer of diffusers: the last of the first half of its blocks."""
    blocks = [*getattr(network, "transformer_blocks", ()), *getattr(network, "single_transformer_blocks", ())]
    return blocks[(len(blocks) - 1) // 2] if blocks else None


def as_map(tokens: Tensor | None, height: int, width: int) -> Tensor | None:
    """Tokens (B, height · width, D), row by row, as (B, D, height, width)."""
    return None if tokens is None else tokens.transpose(1, 2).unflatten(2, (height, width))
