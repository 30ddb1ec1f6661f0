"""Texts as the tokens of a tokenizer of transformers."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svlearn.domains.images.rewards.weights import reading


class Tokenizer:
    """tokens(texts) -> {"input_ids", "attention_mask"}, (B, L) long, on a device.

    tokenizer: of transformers, as it is, a folder or a name. longest: tokens that a text has at most, where it is cut.
    padding: as transformers takes it: True to the longest text of a batch, "max_length" to `longest`.
    Raises TypeError for what is no tokenizer, OSError where there is none to read or to fetch.
    """

    def __init__(self, tokenizer: Any, longest: int, padding: bool | str = True):
        if isinstance(tokenizer, (str, Path)):
            tokenizer = _read(tokenizer)
        if not callable(tokenizer) or not hasattr(tokenizer, "get_vocab"):
            raise TypeError(f"tokenizer: expected one of transformers, or its name, got {type(tokenizer).__name__}")
        self.tokenizer, self.longest, self.padding = tokenizer, longest, padding
        vocabulary = json.dumps([type(tokenizer).__name__, longest, sorted(tokenizer.get_vocab().items())])
        self.name = hashlib.sha256(vocabulary.encode()).hexdigest()  # calls change a tokenizer's own state

    def __call__(self, texts: Sequence[str], device: torch.device) -> dict[str, Tensor]:
        tokens = self.tokenizer(
            list(texts), padding=self.padding, truncation=True, max_length=self.longest, return_tensors="pt"
        )
        return {name: tokens[name].to(device) for name in ("input_ids", "attention_mask")}


def _read(name: str | Path) -> Any:
    from transformers import AutoTokenizer

    with reading(name, "tokenizer"):
        return AutoTokenizer.from_pretrained(str(name))
