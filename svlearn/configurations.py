"""What a library's model does that its weights do not show, in numbers: the settings of models that differ differ."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

UNRELATED = {"transformers_version", "dtype", "torch_dtype", "architectures", "requires_safety_checker"}


def digest(settings: Mapping[str, Any]) -> Tensor:
    """SHA-256, uint8 (32,), over named settings: numbers, texts, and containers of them; of another thing its repr."""
    text = json.dumps(dict(settings), sort_keys=True, default=repr)
    return torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def configured(thing: Any) -> dict[str, Any]:
    """The entries of a configuration, of a model of diffusers or transformers, that are not the default, so that a
    library which adds one does not make another process of the same; {} of a thing without."""
    config: Any = getattr(thing, "config", None)
    if hasattr(config, "to_diff_dict"):  # of transformers
        entries, defaults = config.to_diff_dict(), {}
    elif isinstance(config, Mapping):
        parameters = inspect.signature(type(thing).__init__).parameters
        entries, defaults = config, {name: each.default for name, each in parameters.items()}
    else:
        return {}
    return {
        name: _as_json(entry)
        for name, entry in entries.items()
        if not name.startswith("_")
        and name not in UNRELATED
        and not (name in defaults and _as_json(defaults[name]) == _as_json(entry))
        and not _is_part(thing, name)
    }


def _is_part(thing: Any, name: str) -> bool:
    """Whether an entry is of a pipeline's part: where it came from is not what it is."""
    return name in getattr(thing, "components", {})


def _as_json(entry: Any) -> Any:
    return json.loads(json.dumps(entry, sort_keys=True, default=repr))
