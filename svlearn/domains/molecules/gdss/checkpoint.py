"""Read GDSS checkpoints, the authors' and those of their trainer: tensors, numbers, strings and dicts, no code."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from torch import Tensor

from svlearn.arguments import integer, real
from svlearn.domains.molecules.gdss.layers import AttentionShape
from svlearn.domains.molecules.gdss.networks import AttentionScoreX, ConvolutionScoreX, NodeScore, ScoreAdj
from svlearn.files import existing
from svlearn.torch_archive import MAX_BYTES, NamesCode, content_of

PARTS = ("model_config", "params_x", "params_adj", "x_state_dict", "adj_state_dict")
AVERAGES = ("ema_x", "ema_adj")  # what the authors' trainer writes beside
WEIGHTS = ("trained", "average")
MAX_LAYERS, MAX_WIDTH, MAX_SCALES = 100, 10_000, 10**6
KINDS = ("weight", "bias")
ATTENTION = re.compile(r"(?P<layer>layers\.\d+\.)(attn|multi_channel)\.")
ADVICE = "svlearn.assets.fetch brings the authors' files"

AnyNetwork = TypeVar("AnyNetwork", NodeScore, ScoreAdj)


@dataclass(frozen=True)
class SDEConfig:
    """A forward SDE in the authors' numbers.

    kind        "VP" or "VE"
    beta_min, beta_max  of VP its rate β(t), of VE its σ(t), at diffusion time 0 and 1
    num_scales  the steps that the authors draw samples with
    """

    kind: str
    beta_min: float
    beta_max: float
    num_scales: int


@dataclass(frozen=True)
class GDSSCheckpoint:
    """What a file of the authors holds.

    network_x, network_adj  (x, adj, mask) -> (B, N, F) and (B, N, N): see `svlearn.domains.molecules.gdss.networks`
    sde_x, sde_adj  the two forward SDEs
    data            the name of the training data, "ZINC250k" or "QM9"
    max_node        the most atoms of a molecule; max_feat_num: F, the number of kinds of atom
    """

    network_x: NodeScore
    network_adj: ScoreAdj
    sde_x: SDEConfig
    sde_adj: SDEConfig
    data: str
    max_node: int
    max_feat_num: int


def read(path: str | Path, dtype: torch.dtype = torch.float32, weights: str = "trained") -> GDSSCheckpoint:
    """The networks and the processes in a file of the authors or of their trainer, in evaluation mode.

    dtype: of the weights, which are cast before some of them are multiplied with each other.
    weights: "trained", those that the optimiser left, which the authors draw molecules with; or "average", their moving
    averages (`use_ema` of the authors), which the trainer writes and the public files do not have. The names that
    DataParallel gives are taken as well.

    Raises FileNotFoundError where there is no file, and ValueError for one that holds code or anything but a GDSS
    checkpoint, that is cut or damaged, or whose weights are not finite. A file, and its tensors together, have at most
    256 MiB, a network at most 100 layers, each at most 10,000 wide.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights: expected one of {', '.join(WEIGHTS)}, got {weights!r}")
    path, content = _opened(path)
    if not isinstance(content, dict) or set(content) not in (set(PARTS), {*PARTS, *AVERAGES}):
        actual = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path}: expected a GDSS checkpoint of {', '.join(PARTS)}, got {shorten(actual, 300)}; {ADVICE}"
        )
    if weights == "average" and AVERAGES[0] not in content:
        raise ValueError(
            f"{path}: expected a GDSS checkpoint with moving averages, {' and '.join(AVERAGES)}, got one without; take "
            'weights="trained"'
        )
    try:
        config = content["model_config"]
        return GDSSCheckpoint(
            network_x=_filled(_node_score, content, "x", dtype, weights),
            network_adj=_filled(_score_adj, content, "adj", dtype, weights),
            sde_x=_sde(config["sde"]["x"]),
            sde_adj=_sde(config["sde"]["adj"]),
            data=_text(config["data"], "data"),
            max_node=_number(config["data"], "max_node_num"),
            max_feat_num=_number(config["data"], "max_feat_num"),
        )
    except KeyError as error:
        raise ValueError(
            f"{path}: expected a GDSS checkpoint with an entry {error}, got one without; {ADVICE}"
        ) from error
    except (ValueError, TypeError, AttributeError, RuntimeError, LookupError, ArithmeticError) as error:
        reason = shorten(str(error), 300)
        raise ValueError(f"{path}: expected a GDSS checkpoint whose parts fit, got this: {reason}; {ADVICE}") from error


def _opened(path: str | Path) -> tuple[Path, Any]:
    """The path, and what the file holds."""
    try:
        path = existing(path, "a GDSS checkpoint")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: no such checkpoint; {ADVICE}") from error
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return path, content_of(content)
    except NamesCode as error:
        raise ValueError(
            f"{path}: expected a GDSS checkpoint of tensors, numbers and strings, got one that names "
            f"{shorten(str(error), 300)}; it was not loaded: {ADVICE}"
        ) from error
    except ValueError as error:
        reason = shorten(str(error), 200)
        raise ValueError(f"{path}: expected a GDSS checkpoint, got a corrupt file ({reason}); {ADVICE}") from error


def _number(config: Mapping[str, Any], name: str, most: int = MAX_WIDTH) -> int:
    return integer(_plain(config, name), name, 1, most)


def _text(config: Mapping[str, Any], name: str) -> str:
    return str(_plain(config, name))


def _plain(config: Mapping[str, Any], name: str) -> Any:
    """A string or a number of a config; what else a file may hold there is not printed, for it may have no end."""
    entry = config[name]
    if entry is not None and not isinstance(entry, (str, int, float)):
        raise TypeError(f"{name}: expected a string or a number, got {type(entry).__name__}")
    return entry


def _node_score(params: Mapping[str, Any]) -> NodeScore:
    common: dict[str, Any] = dict(num_features=_number(params, "max_feat_num"), hidden=_number(params, "nhid"))
    depth = _number(params, "depth", MAX_LAYERS)
    match _plain(params, "model_type"):
        case "ScoreNetworkX":
            return ConvolutionScoreX(**common, depth=depth)
        case "ScoreNetworkX_GMH":
            return AttentionScoreX(**common, depth=depth, **_attention(params, depth))
    raise ValueError(f"model_type: expected ScoreNetworkX or ScoreNetworkX_GMH, got {params['model_type']!r}")


def _score_adj(params: Mapping[str, Any]) -> ScoreAdj:
    if _plain(params, "model_type") != "ScoreNetworkA":
        raise ValueError(f"model_type: expected ScoreNetworkA, got {params['model_type']!r}")
    num_layers = _number(params, "num_layers", MAX_LAYERS)
    return ScoreAdj(_number(params, "max_feat_num"), _number(params, "nhid"), **_attention(params, num_layers))


def _attention(params: Mapping[str, Any], num_layers: int) -> dict[str, Any]:
    if _plain(params, "conv") != "GCN":
        raise ValueError(f"conv: expected GCN, got {params['conv']!r}")
    first, hidden, last = (_number(params, name) for name in ("c_init", "c_hid", "c_final"))
    shape = AttentionShape(
        _number(params, "adim"), _number(params, "num_heads"), _number(params, "num_linears", MAX_LAYERS)
    )
    return dict(channels=[first, *[hidden] * (num_layers - 1), last], attention=shape)


def _filled(
    build: Callable[[Mapping[str, Any]], AnyNetwork], content: dict, part: str, dtype: torch.dtype, weights: str
) -> AnyNetwork:
    """A network with the authors' weights, those of each attention layer put together."""
    with torch.device("meta"):  # so that no more memory is asked for than the file's own
        network = build(content[f"params_{part}"])
    tensors = _weights(content, part, weights)
    ours: dict[str, Tensor] = {}
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := ATTENTION.match(name):
            layers.setdefault(match["layer"], {})[name.removeprefix(match["layer"])] = tensor.to(dtype)
        else:
            ours[name] = tensor.to(dtype)
    for layer, theirs in layers.items():
        ours |= {f"{layer}{name}": tensor for name, tensor in _attention_layer(theirs).items()}
    network.load_state_dict(ours, assign=True)
    return network.eval()


def _weights(content: dict, part: str, weights: str) -> dict[str, Tensor]:
    """The named weights of a network: as they were trained, or their moving averages, listed in the same order."""
    state = content[f"{part}_state_dict"]
    if isinstance(state, dict) and state and all(str(name).startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for name, tensor in state.items():
        _check(tensor, f"{part}_state_dict", name)
    if weights == "trained":
        return state
    averages = content[f"ema_{part}"]["shadow_params"]
    if len(averages) != len(state):
        raise ValueError(f"ema_{part}: expected {len(state)} averages, one of each weight, got {len(averages)}")
    for (name, tensor), average in zip(state.items(), averages):
        _check(average, f"ema_{part}", name)
        if average.shape != tensor.shape:
            raise ValueError(
                f"ema_{part}: expected an average of shape {tuple(tensor.shape)} for {name}, got {tuple(average.shape)}"
            )
    return dict(zip(state, averages))


def _check(tensor: Any, where: str, name: str) -> None:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        actual = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{where}: expected floating-point weights, got {actual} as {name}")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{where}: expected finite weights, got {name} with NaN or infinity")


def _attention_layer(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """One layer: its channels stacked, the values' weights times those of the linear layer that reads the values."""
    channels = sum(name.endswith("gnn_q.bias") for name in weights)
    query, key, value = (
        [torch.stack([weights.pop(f"attn.{place}.gnn_{letter}.{kind}") for place in range(channels)]) for kind in KINDS]
        for letter in "qkv"
    )
    first, second = ([weights.pop(f"multi_channel.linears.{place}.{kind}") for kind in KINDS] for place in range(2))
    if weights:
        raise ValueError(f"an attention layer with unexpected weights {', '.join(weights)}")
    reading = first[0].unflatten(1, (channels, -1)).permute(1, 2, 0)
    hidden = product(value[1].unsqueeze(1), reading).squeeze(1) + first[1] / channels
    return {
        "projection.weight": torch.cat([query[0], key[0], product(value[0], reading)], dim=2),
        "projection.bias": torch.cat([query[1], key[1], hidden], dim=1),
        "node.weight": second[0],
        "node.bias": second[1],
    }


def product(left: Tensor, right: Tensor) -> Tensor:
    """left (C, F, G) @ right (C, G, H), (C, F, H), to the same bits on every machine.

    A reference is told by the bytes of its weights (`svlearn.fingerprint`), and the order in which a library sums, and
    so the last bit, is the processor's. Here it is that of G; products of float32 are exact in float64.
    """
    total = left.new_zeros(left.shape[0], left.shape[1], right.shape[2], dtype=torch.float64)
    for place in range(left.shape[2]):
        total += left[:, :, place, None].double() * right[:, place, None, :].double()
    return total.to(left.dtype)


def _sde(config: Mapping[str, Any]) -> SDEConfig:
    kind = _plain(config, "type")
    if kind not in ("VP", "VE"):
        raise ValueError(f"sde: expected VP or VE, got {kind!r}")
    low, high = (real(_plain(config, name), name) for name in ("beta_min", "beta_max"))
    return SDEConfig(kind, low, high, _number(config, "num_scales", MAX_SCALES))
