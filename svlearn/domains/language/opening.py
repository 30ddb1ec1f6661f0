"""Causal language models of transformers by their folder or published name."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from svlearn.files import user_path


def open_model(
    model: Any, tokenizer: Any, dtype: torch.dtype | str | None = None, device_map: Any = None
) -> tuple[nn.Module, Any]:
    """A model and its tokenizer, each by name, by folder or as it is; nothing is fetched unless a name asks for it.

    dtype, device_map: as `AutoModelForCausalLM.from_pretrained` takes them, for a model by name or folder.
    Raises OSError where there is none, TypeError for a model as it is without its tokenizer, ValueError for a model
    that is not causal.
    """
    if isinstance(model, type):
        raise TypeError(f"model: expected a model, its name or its folder, got the class {model.__name__}")
    if isinstance(model, (str, Path)):
        source = str(user_path(model)) if user_path(model).exists() else str(model)
        model = _read("AutoModelForCausalLM", source, dtype="auto" if dtype is None else dtype, device_map=device_map)
        tokenizer = source if tokenizer is None else tokenizer
    elif dtype is not None or device_map is not None:
        raise ValueError("dtype, device_map: they are for a model by its name or folder; move others by to()")
    if isinstance(tokenizer, (str, Path)):
        tokenizer = _read("AutoTokenizer", str(user_path(tokenizer)) if user_path(tokenizer).exists() else tokenizer)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a model of transformers, its name or folder, got {type(model).__name__}")
    if tokenizer is None:
        raise TypeError(f"tokenizer: expected that of the {type(model).__name__}, got None")
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False) or not hasattr(model, "generate"):
        raise ValueError(f"model: expected a causal language model, got a {type(model).__name__}")
    return model, tokenizer


def _read(kind: str, source: str, **options: Any) -> Any:
    import transformers

    try:
        return getattr(transformers, kind).from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        raise OSError(
            f"model: {source!r} is no folder here with what {kind} reads, and could not be fetched by that name "
            f"({error}); where there is a network, save it by save_pretrained(folder), and give that"
        ) from error
