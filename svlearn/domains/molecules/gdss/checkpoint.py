"""Read the authors' GDSS checkpoints: of all that a pickle may hold, tensors, numbers, strings and dicts, no code."""

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

import torch
from torch import Tensor

from svlearn.domains.molecules.gdss.layers import AttentionShape
from svlearn.domains.molecules.gdss.networks import AttentionScoreX, ConvolutionScoreX, NodeScore, ScoreAdj

PARTS = ("model_config", "params_x", "params_adj", "x_state_dict", "adj_state_dict")
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


def read(path: str | Path, dtype: torch.dtype = torch.float32) -> GDSSCheckpoint:
    """The networks and the processes in a file of the authors, in evaluation mode.

    dtype: of the weights, which are cast before some of them are multiplied with each other.
    Raises FileNotFoundError where there is no file, and ValueError for one that holds code or anything but a GDSS
    checkpoint.
    """
    path = Path(path)
    content = _unpickled(path)
    if not isinstance(content, dict) or set(content) != set(PARTS):
        came = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected a GDSS checkpoint of {', '.join(PARTS)}, got {came}; {ADVICE}")
    try:
        config = content["model_config"]
        return GDSSCheckpoint(
            network_x=_filled(_node_score(content["params_x"]), content["x_state_dict"], dtype),
            network_adj=_filled(_score_adj(content["params_adj"]), content["adj_state_dict"], dtype),
            sde_x=_sde(config["sde"]["x"]),
            sde_adj=_sde(config["sde"]["adj"]),
            data=config["data"]["data"],
            max_node=config["data"]["max_node_num"],
            max_feat_num=config["data"]["max_feat_num"],
        )
    except KeyError as error:
        raise ValueError(
            f"{path}: expected a GDSS checkpoint with an entry {error}, got one without; {ADVICE}"
        ) from error
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        why = shorten(str(error), 300)
        raise ValueError(f"{path}: expected a GDSS checkpoint whose parts fit, got this: {why}; {ADVICE}") from error


def _unpickled(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; {ADVICE}")
    # The authors' config is an easydict.EasyDict, a dict with attributes: an OrderedDict stands in for it.
    with torch.serialization.safe_globals([(OrderedDict, "easydict.EasyDict")]):
        try:
            code = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            if not code:
                return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
            why = shorten(str(error), 200)
            raise ValueError(f"{path}: expected a GDSS checkpoint, got a corrupt file ({why}); {ADVICE}") from error
    raise ValueError(
        f"{path}: expected a GDSS checkpoint of tensors, numbers and strings, got one that names {', '.join(code)}; "
        f"it was not loaded: {ADVICE}"
    )


def _node_score(params: Mapping[str, Any]) -> NodeScore:
    common = dict(num_features=params["max_feat_num"], hidden=params["nhid"], depth=params["depth"])
    match params["model_type"]:
        case "ScoreNetworkX":
            return ConvolutionScoreX(**common)
        case "ScoreNetworkX_GMH":
            return AttentionScoreX(**common, **_attention(params, params["depth"]))
    raise ValueError(f"model_type: expected ScoreNetworkX or ScoreNetworkX_GMH, got {params['model_type']!r}")


def _score_adj(params: Mapping[str, Any]) -> ScoreAdj:
    if params["model_type"] != "ScoreNetworkA":
        raise ValueError(f"model_type: expected ScoreNetworkA, got {params['model_type']!r}")
    return ScoreAdj(params["max_feat_num"], params["nhid"], **_attention(params, params["num_layers"]))


def _attention(params: Mapping[str, Any], num_layers: int) -> dict[str, Any]:
    if params["conv"] != "GCN":
        raise ValueError(f"conv: expected GCN, got {params['conv']!r}")
    channels = [params["c_init"], *[params["c_hid"]] * (num_layers - 1), params["c_final"]]
    return dict(channels=channels, attention=AttentionShape(params["adim"], params["num_heads"], params["num_linears"]))


def _filled(network: AnyNetwork, weights: Mapping[str, Tensor], dtype: torch.dtype) -> AnyNetwork:
    """The network with the authors' weights, those of each attention layer put together."""
    ours: dict[str, Tensor] = {}
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        if found := ATTENTION.match(name):
            layers.setdefault(found["layer"], {})[name.removeprefix(found["layer"])] = tensor.to(dtype)
        else:
            ours[name] = tensor
    for layer, theirs in layers.items():
        ours |= {f"{layer}{name}": tensor for name, tensor in _attention_layer(theirs).items()}
    network.to(dtype).load_state_dict(ours)
    return network.eval()


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
    hidden = torch.einsum("cg,cgh->ch", value[1], reading) + first[1] / channels
    return {
        "projection.weight": torch.cat([query[0], key[0], value[0] @ reading], dim=2),
        "projection.bias": torch.cat([query[1], key[1], hidden], dim=1),
        "node.weight": second[0],
        "node.bias": second[1],
    }


def _sde(config: Mapping[str, Any]) -> SDEConfig:
    if config["type"] not in ("VP", "VE"):
        raise ValueError(f"sde: expected VP or VE, got {config['type']!r}")
    return SDEConfig(config["type"], float(config["beta_min"]), float(config["beta_max"]), int(config["num_scales"]))
