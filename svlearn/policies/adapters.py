"""Low-rank adapters: which layers of a process take one, and putting them there."""

import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from svlearn.arguments import integer, names_of
from svlearn.compiled import plain_copy, plain_name
from svlearn.policies.reading import Reading, read_by
from svlearn.process import Reference

ALL_LINEAR = "all-linear"  # peft's name for every linear layer
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
OTHERS = (nn.Embedding, *CONVOLUTIONS, nn.MultiheadAttention)  # than linear ones
SHOWN = 8  # names in a message

logger = logging.getLogger(__name__)


def adapted(
    reference: Reference, rank: int, free: set[int], targets: str | Iterable[str] | None, condition: Any = None
) -> tuple[Reference, dict[str, str]]:
    """A copy of the reference with adapters of that rank, all else frozen; and the layers that have one: {name: kind}.

    free: the ids of the parameters that may be moved. targets: as peft's `target_modules`, None for all that can be.
    condition: two rows of what the reference starts from, where it starts from nothing else.
    Raises ValueError where no layer is adapted, and for a target that names nothing or what takes no adapter.
    """
    rank = integer(rank, "lora_rank", optional=True)
    peft = _peft()
    layers = dict(_layers(reference))
    chosen = _adaptable(layers, rank) if targets is None else _targeted(reference, layers, rank, targets)
    chosen = {name: layer for name, layer in chosen.items() if any(id(each) in free for each in _weights(layer))}
    reading = read_by(reference, [each for layer in chosen.values() for each in _weights(layer)], condition)
    chosen = {name: layer for name, layer in chosen.items() if not _read_past(layer, reading)}
    unread = reading is not None and not reading.parameters
    if not chosen or unread:
        raise ValueError(_refusal(reference, layers, targets, unread and bool(chosen)))
    kinds = {name: type(layer).__name__ for name, layer in chosen.items()}
    text = ", ".join(f"{number} {kind}" for kind, number in sorted(Counter(kinds.values()).items()))
    logger.info("%s: low-rank adapters of rank %d at %s", type(reference).__name__, rank, text)
    if targets is None:
        _warn_of_others(reference, free, chosen)
    shared: dict[int, Any] = {id(each): each for each in reference.parameters() if not each.requires_grad}
    return _injected(peft, plain_copy(reference, shared), rank, chosen), kinds


class LowRank(nn.Module):
    """W + B A of a weight W (out, in), with A (r, in) random and B (out, r) = 0 at first."""

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        rows, columns = weight.shape
        drawn = torch.empty(rank, columns)  # on the CPU, so that it does not depend on the device
        nn.init.kaiming_uniform_(drawn, a=5**0.5)
        self.lora_A = nn.Parameter(drawn.to(weight))
        self.lora_B = nn.Parameter(torch.zeros(rows, rank).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.lora_B @ self.lora_A


def _injected(peft: Any, copied: Reference, rank: int, chosen: dict[str, nn.Module]) -> Reference:
    attentions = [name for name, layer in chosen.items() if isinstance(layer, nn.MultiheadAttention)]
    others = [name for name in chosen if name not in attentions]
    copied.requires_grad_(False)  # of what is shared, nothing required one before
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # A is drawn on the CPU, from its generator
        warnings.simplefilter("ignore")  # peft's remarks on Conv1D, groups and tied weights, which hold for merging
        torch.default_generator.manual_seed(0)
        if others:
            config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules="|".join(map(re.escape, others)))
            peft.inject_adapter_in_model(config, copied)
        for name in attentions:  # peft's own merges into the weights at each call and out again, which wears them off
            for owner, weight in _matrices(copied.get_submodule(name)):
                parametrize.register_parametrization(owner, weight, LowRank(getattr(owner, weight), rank))
    for module in copied.modules():  # torch's fast path for encoders reads the weights past the adapters
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
        elif isinstance(module, nn.TransformerEncoderLayer):
            module.register_forward_pre_hook(_nothing)  # it gives way to any hook
    return copied


def _layers(reference: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of the kinds that take adapters; an attention's own projections are a part of it."""
    inside: set[int] = set()
    for name, module in reference.named_modules():
        if id(module) in inside or not (isinstance(module, (nn.Linear, *OTHERS)) or _is_conv1d_of_transformers(module)):
            continue
        inside |= {id(each) for each in module.modules()}
        yield plain_name(name), module


def _is_conv1d_of_transformers(module: nn.Module) -> bool:
    """As in GPT-2: a linear layer whose weight is (in, out). Told by its name, so that transformers is not needed."""
    return any(
        (each.__module__, each.__name__) == ("transformers.pytorch_utils", "Conv1D") for each in type(module).__mro__
    )


def _adaptable(layers: dict[str, nn.Module], rank: int) -> dict[str, nn.Module]:
    return {name: layer for name, layer in layers.items() if not _obstacle(layer, rank)}


def _obstacle(layer: nn.Module, rank: int) -> str | None:
    """Why peft cannot give this layer an adapter of that rank, or None."""
    if isinstance(layer, CONVOLUTIONS):
        if rank % layer.groups:
            return f"a convolution of {layer.groups} groups needs a rank that is a multiple of it, got {rank}"
        if set(layer.dilation) != {1}:
            return "an adapter of a dilated convolution is not to be had"
    return None


def _targeted(
    reference: Reference, layers: dict[str, nn.Module], rank: int, targets: str | Iterable[str]
) -> dict[str, nn.Module]:
    """Those that peft's `target_modules` means: a string is a regular expression for whole names, or "all-linear"; of
    a list, each is a name or the end of some."""
    if isinstance(targets, str) and targets.lower() == ALL_LINEAR:
        return {name: each for name, each in layers.items() if not isinstance(each, OTHERS)}
    named = {plain_name(name): each for name, each in reference.named_modules()}
    if isinstance(targets, str):
        try:
            hits = [name for name in named if re.fullmatch(targets, name)]
        except re.error as error:
            raise ValueError(f"target_modules: expected a regular expression, got {targets!r} ({error})") from None
    else:
        hits = []
        for target in names_of(targets, "target_modules"):
            matches = [name for name in named if name == target or name.endswith(f".{target}")]
            if not matches:
                raise ValueError(
                    f"target_modules: expected names of layers, got {target!r}, which names none; {_listed(layers)}"
                )
            hits += matches
    for name in hits:
        reason = f"a {type(named[name]).__name__}" if name not in layers else _obstacle(named[name], rank)
        if reason is not None:
            raise ValueError(f"target_modules: expected layers that take an adapter, got {name!r} ({reason})")
    return {name: layers[name] for name in layers if name in hits}


def _listed(layers: Iterable[str]) -> str:
    names = list(layers)
    return f"there are {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}"


def _matrices(layer: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where an attention keeps its weights, (owner, name): they are read there, without a call of the owner."""
    own = [(layer, name) for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")]
    present = [(owner, name) for owner, name in own if getattr(owner, name, None) is not None]
    return [*present, (layer.out_proj, "weight")]  # type: ignore[list-item]


def _weights(layer: nn.Module) -> list[nn.Parameter]:
    if isinstance(layer, nn.MultiheadAttention):
        return [getattr(owner, name) for owner, name in _matrices(layer)]
    return [layer.weight]  # type: ignore[list-item]


def _read_past(layer: nn.Module, reading: Reading | None) -> bool:
    """Whether the weight is used and the layer never called, so that an adapter, which acts on calls, would not be."""
    if reading is None or isinstance(layer, nn.MultiheadAttention):
        return False
    return id(layer) not in reading.called and any(id(each) in reading.parameters for each in _weights(layer))


def _warn_of_others(reference: Reference, free: set[int], chosen: dict[str, nn.Module]) -> None:
    """Say which weights of two dimensions or more could be trained and have no adapter."""
    have = {id(each) for layer in chosen.values() for each in _weights(layer)}
    left = [
        plain_name(name)
        for name, each in reference.named_parameters()
        if each.dim() >= 2 and id(each) in free and id(each) not in have
    ]
    if left:
        shown = f"{', '.join(left[:SHOWN])}{', ...' if len(left) > SHOWN else ''}"
        warnings.warn(
            f"lora_rank: {len(left)} weights of {type(reference).__name__} have no adapter and stay as they are: "
            f"{shown}; lora_rank=None trains all",
            stacklevel=4,
        )


def _refusal(reference: Reference, layers: dict[str, nn.Module], targets: Any, unread: bool) -> str:
    name = type(reference).__name__
    if unread:
        return f"reference: expected a law of the next state that depends on the adapted layers, {name}'s does not"
    if not layers:
        return f"reference: expected one with layers to adapt, got {name} without; use lora_rank=None"
    expected = "target_modules: expected" if targets is not None else "reference: expected"
    return (
        f"{expected} layers to adapt among the parts that are trained, got none of {name}: its layers are frozen (name "
        f"them by modules=), read without being called, or not meant; {_listed(layers)}"
    )


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ImportError("lora_rank: low-rank adapters need peft; pip install 'svlearn[policies]'") from error
    return peft


def _nothing(module: nn.Module, arguments: tuple) -> None:
    """A hook that changes nothing."""
