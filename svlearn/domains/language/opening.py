"""Models and tokenizers of transformers by their folder or published name."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from svlearn.compiled import plain_name
from svlearn.files import user_path


def open_model(
    model: Any, tokenizer: Any, dtype: torch.dtype | str | None = None, device_map: Any = None
) -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer, as `open_network` reads them; the model is not frozen.

    dtype, device_map: as `AutoModelForCausalLM.from_pretrained` takes them, for a model by name or folder; None: the
    dtype that it was saved in. Raises as `open_network`, ValueError for a model that is not causal, a dtype that torch
    has not and a device_map that transformers does not take, and ImportError for a device_map without accelerate.
    """
    options: dict[str, Any] = {}
    if isinstance(model, (str, Path)):
        options = {"dtype": "auto" if dtype is None else _dtype(dtype), "device_map": _map(device_map)}
    elif dtype is not None or device_map is not None:
        raise ValueError("dtype, device_map: they are for a model by its name or folder; move others by to()")
    model, tokenizer = open_network("AutoModelForCausalLM", model, tokenizer, **options)
    if getattr(model.config, "is_encoder_decoder", False) or not hasattr(model, "generate"):
        raise ValueError(f"model: expected a causal language model, got a {type(model).__name__}")
    return model, tokenizer


def open_network(kind: str, model: Any, tokenizer: Any, **options: Any) -> tuple[nn.Module, Any]:
    """A network, in evaluation mode, and its tokenizer, each by name, by folder or as it is.

    kind: the class of transformers that reads it, as "AutoModelForSequenceClassification"; weights are read from
    safetensors. tokenizer None: that of the model, where it was named. options: of `from_pretrained`, for a network by
    name or folder. Nothing is fetched unless a name asks for it.
    Raises OSError, saying what to do, where there is none to read or to fetch, TypeError for what is no network and for
    one as it is without its tokenizer, ValueError for a checkpoint without some of the weights, as of a head.
    """
    if isinstance(model, type):
        raise TypeError(f"model: expected a model, its name or its folder, got the class {model.__name__}")
    if isinstance(model, (str, Path)):
        tokenizer = model if tokenizer is None else tokenizer
        model, report = _read(kind, model, "model", use_safetensors=True, output_loading_info=True, **options)
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
    return model.eval(), tokenizer


def settings_of_tokenizer(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer does, as plain data; its padding and truncation are left out, which calls change."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    settings = {"vocabulary": tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
    return {name: each for name, each in settings.items() if name not in ("padding", "truncation")}


def settings_of_adapters(model: Any) -> dict[str, Any]:
    """What peft's adapters in a model do that their weights do not show: their factors, and which are active."""
    layers = {plain_name(name): each for name, each in model.named_modules() if hasattr(each, "active_adapters")}
    return {
        name: [list(layer.active_adapters), dict(layer.scaling), layer.disable_adapters]
        for name, layer in layers.items()
        if hasattr(layer, "scaling")
    }


def _dtype(dtype: Any) -> torch.dtype | str:
    known = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype != "auto" and not (isinstance(known, torch.dtype) and known.is_floating_point):
        raise ValueError(f"dtype: expected a float dtype of torch, its name, as 'bfloat16', or 'auto', got {dtype!r}")
    return dtype


def _map(device_map: Any) -> Any:
    """As it is. transformers' own words for a missing accelerate would be taken for those of a missing file."""
    if device_map is not None:
        try:
            import accelerate  # noqa: F401
        except ImportError as error:
            raise ImportError("device_map: accelerate is needed for it: pip install accelerate") from error
    return device_map


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
