"""What a step keeps for the next one, `Prediction.cache`: its rows follow the particles, whatever it is made of.

A tensor with the batch first; a cache of transformers; a tuple, a list or a dict of such, in any depth, as the keys and
values (B, heads, L, D) of every layer, or the caches of two networks; or an object with `__getitem__(rows)` and a class
method `cat(parts)`.
transformers is not imported: its caches are known by `reorder_cache` and their `layers`.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy, deepcopy
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.state import concatenate, take

CONTAINERS = (tuple, list, dict)
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)
SHARED = (bool, int, float, type(None))  # the same for all rows
WANTED = (
    "a tensor with the batch first, a tuple, list or dict of such, a cache of transformers, or an object with "
    "__getitem__(rows) and a class method cat(parts)"
)


def check_cache(cache: Any, size: int) -> None:
    """Raise TypeError for what cannot follow the particles, ValueError where a tensor has no batch of `size` rows."""
    if cache is None:
        return
    if isinstance(cache, (bool, int, float, str, bytes)):
        raise TypeError(f"Prediction.cache: expected {WANTED}, got {type(cache).__name__}")
    if _is_foreign(cache):
        found = [(f".layers[{k}].{name}", each) for k, name, each in _tensors(cache)]
    elif isinstance(cache, (*CONTAINERS, Tensor)):
        found = list(_leaves(cache, ""))
        if not any(isinstance(leaf, (Tensor, TensorDict)) or _is_foreign(leaf) for _, leaf in found):
            raise TypeError(f"Prediction.cache: expected {WANTED}, got a {type(cache).__name__} without a tensor")
    else:
        if not hasattr(cache, "__getitem__"):
            raise TypeError(f"Prediction.cache: expected {WANTED}, got {type(cache).__name__}")
        return
    for place, leaf in found:
        if isinstance(leaf, (Tensor, TensorDict)):
            if not leaf.shape or leaf.shape[0] != size:
                came = f"shape {tuple(leaf.shape)}"
                raise ValueError(f"Prediction.cache{place}: expected the batch of {size} rows first, got {came}")
        elif _is_foreign(leaf):
            check_cache(leaf, size)
        elif not isinstance(leaf, SHARED):
            raise TypeError(f"Prediction.cache{place}: expected {WANTED}, got {type(leaf).__name__}")


def select(cache: Any, index: Any) -> Any:
    """The chosen rows of it; what was given stays as it is."""
    if isinstance(cache, CONTAINERS):
        return _mapped(lambda leaf: leaf if isinstance(leaf, SHARED) else select(leaf, index), [cache])
    if cache is None or index is None or not _is_foreign(cache):
        return take(cache, index)
    tensors = [each for _, _, each in _tensors(cache)]
    if not tensors:  # nothing was written yet
        return _copied(cache)
    size, device = tensors[0].shape[0], tensors[0].device
    rows = index.to(device) if isinstance(index, Tensor) and index.dtype == torch.long else None
    rows = torch.arange(size, device=device)[index] if rows is None else rows
    chosen = _copied(cache)
    chosen.reorder_cache(rows)
    return _resized(chosen, rows.shape[0])


def join(parts: Sequence[Any]) -> Any:
    """Batches of it as one. TypeError for a kind that cannot be joined, ValueError where shared numbers differ."""
    first = parts[0]
    if len(parts) == 1 or first is None:
        return first
    if isinstance(first, CONTAINERS):
        return _mapped(_joined, parts)
    if not _is_foreign(first):
        return concatenate(parts)
    joined, total = _copied(first), 0
    for part in parts:
        total += next((each.shape[0] for _, _, each in _tensors(part)), 0)
    for k, layer in enumerate(_layers(joined)):
        others = [_layers(part)[k] for part in parts]
        for name, own in list(vars(layer).items()):
            if name.startswith("_quantized"):
                raise TypeError(f"Prediction.cache: a {type(layer).__name__} cannot be cut by max_batch")
            if isinstance(own, Tensor) and own.dim() > 1:
                setattr(layer, name, torch.cat([getattr(each, name) for each in others]))
            elif isinstance(own, (list, dict)):
                setattr(layer, name, _mapped(_joined, [getattr(each, name) for each in others]))
    return _resized(joined, total)


def lent(cache: Any) -> Any:
    """As a network may be given it: what it then writes is not seen by who else holds the cache."""
    if isinstance(cache, CONTAINERS):
        return _mapped(lent, [cache])
    if not _is_foreign(cache):
        return cache
    in_place = any(getattr(layer, "is_compileable", False) for layer in _layers(cache))  # as those of a StaticCache
    return _copied(cache, share=not in_place)


def detached(cache: Any) -> Any:
    """The same without its graph of gradients, as who keeps it past a gradient does; of an object of a user's own what
    its `detach()` gives, where it has one."""
    if isinstance(cache, CONTAINERS):
        return _mapped(detached, [cache])
    if _is_foreign(cache):
        return deepcopy(cache, {id(each): each.detach() for each in _every_tensor(cache)})
    return cache.detach() if hasattr(cache, "detach") else cache


def _is_foreign(cache: Any) -> bool:
    """Whether it is a cache of transformers."""
    return hasattr(cache, "reorder_cache") and (hasattr(cache, "layers") or hasattr(cache, "self_attention_cache"))


def _layers(cache: Any) -> list[Any]:
    if hasattr(cache, "self_attention_cache"):
        return [*_layers(cache.self_attention_cache), *_layers(cache.cross_attention_cache)]
    return list(cache.layers)


def _tensors(cache: Any) -> Iterator[tuple[int, str, Tensor]]:
    """The tensors of its layers that have rows, with the layer's number and their name."""
    for k, layer in enumerate(_layers(cache)):
        for name, each in vars(layer).items():
            if isinstance(each, Tensor) and each.dim() > 1:
                yield k, name, each


def _every_tensor(cache: Any) -> list[Tensor]:
    """The tensors of its layers, in containers too, as the states of linear attention are."""
    found = [leaf for layer in _layers(cache) for _, leaf in _leaves(vars(layer), "")]
    return [each for each in found if isinstance(each, Tensor)]


def _copied(cache: Any, share: bool = True) -> Any:
    """A copy, by which a gradient passes; share: of the tensors which have rows the very same, as they are replaced and
    not written to. Where layers hold nothing but such tensors and plain values they are copied one by one: deepcopy
    would take as long as a small model's step."""
    if share and type(cache).__name__ == "DynamicCache" and all(map(_is_flat, cache.layers)):
        copied = copy(cache)
        copied.layers = [copy(layer) for layer in cache.layers]
        return copied
    memory: dict[int, Any] = {id(each): each for _, _, each in _tensors(cache)} if share else {}
    memory |= {id(each): each.clone() for each in _every_tensor(cache) if id(each) not in memory}
    return deepcopy(cache, memory)


def _is_flat(layer: Any) -> bool:
    """Whether a shallow copy of a layer shares nothing that is written to."""
    return all(each.dim() > 1 if isinstance(each, Tensor) else isinstance(each, PLAIN) for each in vars(layer).values())


def _resized(cache: Any, size: int) -> Any:
    for layer in _layers(cache):
        if hasattr(layer, "batch_size"):
            layer.batch_size = size
    return cache


def _mapped(function: Callable, parts: Sequence[Any]) -> Any:
    """The containers of the first part, with function(leaves, one of each part) at its leaves."""
    first = parts[0]
    if isinstance(first, dict):
        found = copy(first)  # of its own kind, as one with a default
        for name in first:
            found[name] = _mapped(function, [part[name] for part in parts])
        return found
    if isinstance(first, (tuple, list)):
        items = [_mapped(function, each) for each in zip(*parts, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return function(*parts)


def _joined(*leaves: Any) -> Any:
    first = leaves[0]
    if not isinstance(first, SHARED):
        return join(leaves)
    if any(leaf != first for leaf in leaves):
        raise ValueError(f"Prediction.cache: expected one number for all rows, got {', '.join(map(str, leaves))}")
    return first


def _leaves(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """What the containers hold, each with its place, such as "[0]['keys']"."""
    if not isinstance(tree, CONTAINERS):
        yield place, tree
        return
    for name, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _leaves(child, f"{place}[{name!r}]")
