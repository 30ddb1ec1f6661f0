"""What a pipeline does that its weights do not show, as one buffer, so that processes that differ in it differ."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.compiled import plain
from svlearn.domains.images.denoisers import Denoiser

PLAIN = (bool, int, float, str, tuple, type(None))
OF_MODULES = {*vars(nn.Module())}  # what every module has, its mode among them
UNRELATED = {"transformers_version", "dtype", "torch_dtype", "architectures", "requires_safety_checker"}


def digest_of(denoiser: Denoiser, autoencoder: nn.Module | None, pipeline: Any) -> Tensor:
    """SHA-256, uint8 (32,), over what the law of x_T depends on besides weights and steps.

    The denoiser's class and its plain attributes (shape, scale of guidance, length of a prompt, ...), and of all
    modules and of the pipeline the entries of their configurations that are not the default, so that a library which
    adds one does not make another process of the same. Of a tokenizer its class, size and longest text.
    """
    own = {name: each for name, each in vars(denoiser).items() if name not in OF_MODULES and isinstance(each, PLAIN)}
    modules = {**dict(denoiser.named_children()), **dict(getattr(denoiser, "text_encoders", {}).items())}
    modules = modules if autoencoder is None else {**modules, "autoencoder": autoencoder}
    settings: dict[str, Any] = {"kind": type(denoiser).__qualname__, "denoiser": own}
    settings |= {f"{name}.config": configured(plain(each)) for name, each in modules.items()}
    if pipeline is not None:
        tokenizers = {name: each for name, each in pipeline.components.items() if name.startswith("tokenizer")}
        settings |= {"pipeline.config": configured(pipeline)}
        settings |= {name: _tokenizer(each) for name, each in tokenizers.items() if each is not None}
    text = json.dumps(settings, sort_keys=True, default=repr)
    return torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def configured(thing: Any) -> dict[str, Any]:
    """The entries of a thing's configuration that are not the default; {} of one without."""
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


def _tokenizer(tokenizer: Any) -> list[Any]:
    kind = type(tokenizer).__name__.removesuffix("Fast")
    return [kind, len(tokenizer), getattr(tokenizer, "model_max_length", None)]
