"""Networks of transformers that judge texts, from where they lie, and texts as the tokens that they read."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.files import user_path

UNBOUNDED = 1 << 30  # what transformers writes where a tokenizer has no longest text is above


def open_network(kind: str, model: Any, tokenizer: Any) -> tuple[nn.Module, Any]:
    """A network, in evaluation mode and frozen, and its tokenizer, each by name, by folder or as it is.

    kind: the class of transformers that reads it, as "AutoModelForSequenceClassification"; weights are read from
    safetensors. tokenizer None: that of the model, where it was named.
    Raises OSError, saying what to do, where there is none to read or to fetch, TypeError for what is no network and for
    one as it is without its tokenizer, ValueError for a checkpoint without some of the weights, as of a head.
    """
    if isinstance(model, (str, Path)):
        tokenizer = model if tokenizer is None else tokenizer
        model, report = _read(kind, model, "model", use_safetensors=True, output_loading_info=True)
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise ValueError(f"model: expected the weights of a {type(model).__name__}, got others, without {missing}")
    if not isinstance(model, nn.Module) or not hasattr(model, "config"):
        raise TypeError(f"model: expected a model of transformers, its name or folder, got {type(model).__name__}")
    if isinstance(tokenizer, (str, Path)):
        tokenizer = _read("AutoTokenizer", tokenizer, "tokenizer")
    if not callable(tokenizer) or not hasattr(tokenizer, "get_vocab"):
        raise TypeError(
            f"tokenizer: expected that of the {type(model).__name__}, or its name, got {type(tokenizer).__name__}"
        )
    return model.eval().requires_grad_(False), tokenizer


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
        backend = getattr(tokenizer, "backend_tokenizer", None)
        does = {"vocabulary": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
        does = {key: each for key, each in does.items() if key not in ("padding", "truncation")}
        text = json.dumps([type(tokenizer).__name__, special, does], sort_keys=True)
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


def _read(kind: str, name: str | Path, argument: str, **options: Any) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"{argument}: transformers is needed for it: pip install 'svlearn[language]'") from error
    source = str(user_path(name)) if user_path(name).exists() else str(name)
    try:
        return getattr(transformers, kind).from_pretrained(source, **options)
    except (OSError, ValueError) as error:  # the latter of a name that cannot be one, and of a folder of another kind
        reason = str(error).strip().split("\n")[0]
        raise OSError(
            f"{argument}: expected a folder in transformers' format or a published name that can be fetched, got "
            f"{source!r} ({reason}); without a network, copy the files into a folder and name that, or give the object "
            "itself"
        ) from error
