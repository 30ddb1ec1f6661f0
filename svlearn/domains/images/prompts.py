"""Prompts as leaves of a state: UTF-8 bytes, padded with 0."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MOST_BYTES = 512


def to_bytes(prompts: Sequence[str], name: str = "condition") -> Tensor:
    """Prompts as (B, 512), uint8.

    Raises TypeError for what is no text, ValueError for one of more than 512 bytes and for one with a NUL, which would
    be read as its end."""
    leaf = torch.zeros(len(prompts), MOST_BYTES, dtype=torch.uint8)
    for place, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise TypeError(f"{name}[{place}]: expected a prompt (a str), got {type(prompt).__name__} {prompt!r}")
        text = prompt.encode()
        if len(text) > MOST_BYTES:
            raise ValueError(f"{name}[{place}]: expected at most {MOST_BYTES} bytes of UTF-8, got {len(text)}")
        if b"\0" in text:
            raise ValueError(f"{name}[{place}]: expected a prompt without NUL, got {prompt!r}")
        leaf[place, : len(text)] = torch.tensor(list(text), dtype=torch.uint8)
    return leaf


def to_texts(leaf: Tensor) -> list[str]:
    """The prompts of a leaf (B, 512)."""
    return [row.tobytes().rstrip(b"\0").decode() for row in leaf.detach().cpu().numpy()]


def leaf_of(prompts: Any, batch_size: int, name: str) -> Tensor:
    """The leaf (B, 512) of prompts, a list of them or a leaf already; of None the empty prompt.

    Raises ValueError where they are not one for each of B samples or no UTF-8, TypeError for what are no prompts."""
    if prompts is None:
        prompts = [""] * batch_size
    if isinstance(prompts, str):
        raise TypeError(f"{name}: expected a list of {batch_size} prompts, one for each sample, got one str")
    if isinstance(prompts, Tensor):
        if prompts.dtype != torch.uint8 or prompts.dim() != 2 or prompts.shape[1] != MOST_BYTES:
            actual = f"a tensor {tuple(prompts.shape)} of {prompts.dtype}"
            raise TypeError(f"{name}: expected a list of prompts, or (B, {MOST_BYTES}) of torch.uint8, got {actual}")
        try:
            to_texts(prompts)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: expected UTF-8 with zeros after the end, got other bytes ({error})") from error
        leaf = prompts
    elif isinstance(prompts, Sequence):
        leaf = to_bytes(prompts, name)
    else:
        raise TypeError(f"{name}: expected a list of prompts, got {type(prompts).__name__}")
    if len(leaf) != batch_size:
        raise ValueError(f"{name}: expected {batch_size} prompts, one for each sample, got {len(leaf)}")
    return leaf
