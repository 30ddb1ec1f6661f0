"""Prompts of states, and rewards that read them: each text is embedded once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import expect, names_of
from svlearn.domains.images.prompts import to_texts

MOST = 10_000  # texts that are remembered
UNREADABLE = "expected texts in UTF-8, zeros after the end"


def texts_of(prompts: Tensor | Sequence[str], number: int) -> list[str]:
    """The texts of prompts as states hold them, (B, L) uint8, UTF-8 with zeros after the end, or of a list of texts.

    Raises ValueError for another form, for bytes that are no UTF-8, and for another number than of images.
    """
    if not isinstance(prompts, Tensor):
        texts = names_of(prompts, "prompts")
    else:
        if prompts.dim() != 2 or prompts.dtype != torch.uint8:
            raise ValueError(f"prompts: {UNREADABLE}, (B, L) uint8, got {tuple(prompts.shape)} of {prompts.dtype}")
        try:
            texts = to_texts(prompts)
        except UnicodeDecodeError as error:
            raise ValueError(f"prompts: {UNREADABLE}, got other bytes ({error})") from error
    if len(texts) != number:
        raise ValueError(f"prompts: expected one of each of {number} images, got {len(texts)}")
    return texts


class Remembered:
    """What was computed of texts, (E,) each, so that each is computed once. A copy, or a pickle, starts empty."""

    def __init__(self) -> None:
        self.entries: dict[str, Tensor] = {}

    def of(self, texts: Sequence[str], compute: Callable[[list[str]], Tensor]) -> Tensor:
        """(B, E) of texts; compute: gives (n, E) of those that are new."""
        new = [text for text in dict.fromkeys(texts) if text not in self.entries]
        if new:
            self.entries.update(zip(new, compute(new), strict=True))
        rows = torch.stack([self.entries[text] for text in texts])
        for text in list(self.entries)[: max(0, len(self.entries) - MOST)]:
            del self.entries[text]
        return rows

    def __reduce__(self) -> tuple[Any, ...]:
        return Remembered, ()


class Prompted(nn.Module):
    """A reward of images (B, C, H, W) and prompts; prompt: that of all, None: that of each state, its leaf "prompt"."""

    leaf: str | None

    def __init__(self, prompt: str | None):
        super().__init__()
        self.prompt = prompt if prompt is None else expect(prompt, str, "prompt")
        self.leaf = "prompt" if prompt is None else None

    def texts(self, images: Tensor, prompts: Tensor | Sequence[str] | None) -> list[str]:
        """The prompt of each image. Raises ValueError where there is none, and as `texts_of`."""
        if self.prompt is not None:
            return [self.prompt] * len(images)
        if prompts is None:
            raise ValueError(f"prompt: {type(self).__name__} expected one, or prompts beside the images, got none")
        return texts_of(prompts, len(images))
