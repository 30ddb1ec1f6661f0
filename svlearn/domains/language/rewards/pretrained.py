"""Networks of transformers that judge texts: how they are kept by name, and texts as the tokens that they read."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.domains.language.opening import settings_of_tokenizer

UNBOUNDED = 1 << 30  # what transformers writes where a tokenizer has no longest text is above


def keep_names(reward: object, **arguments: Any) -> None:
    """Keep what a constructor was given as a name or a path, `_model` of model="...", so that it has a recipe."""
    for name, each in arguments.items():
        if each is None or isinstance(each, (str, Path)):
            setattr(reward, f"_{name}", None if each is None else str(each))


def longest_text(network: Any, tokenizer: Any) -> int | None:
    """How many tokens a network reads at most, by its positions, its configuration and its tokenizer; None: any."""
    known = [getattr(network.config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding) and name.split(".")[-1] in ("position_embeddings", "wpe"):
            before = 0 if module.padding_idx is None else module.padding_idx + 1  # of RoBERTa, which counts from there
            known.append(module.num_embeddings - before)
    bounds = [each for each in known if isinstance(each, int) and 0 < each < UNBOUNDED]
    return min(bounds, default=None)


class Tokens:
    """tokens(texts) -> token ids, a list for each text, with what the tokenizer puts around one where `special`.

    name: a digest of what the tokenizer does, its padding and truncation left out, which calls change.
    """

    def __init__(self, tokenizer: Any, special: bool = True):
        self.tokenizer, self.special = tokenizer, special
        text = json.dumps([type(tokenizer).__name__, special, settings_of_tokenizer(tokenizer)], sort_keys=True)
        self.name = hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, texts: Sequence[str], longest: int | None = None) -> list[list[int]]:
        """longest: tokens of a text, where it is cut, what is put around it kept."""
        if not texts:
            return []
        options = {} if longest is None else {"truncation": True, "max_length": longest}
        options = {"add_special_tokens": self.special, "padding": False, "verbose": False, **options}
        return [list(row) for row in self.tokenizer(list(texts), **options)["input_ids"]]


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> dict[str, Tensor]:
    """Rows of tokens as {"input_ids", "attention_mask"}, (B, L) long, padded on the right."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], dtype=torch.long)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
