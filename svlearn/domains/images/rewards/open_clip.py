"""Weights of open_clip's vision transformers as a CLIPModel of transformers: the same network under other names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from svlearn.domains.images.rewards.weights import read_weights

KIND = "weights of a CLIP of open_clip, a vision transformer"
HEADS = 16  # of ViT-H-14, in both towers
BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
NAMES = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "text_projection": "text_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "visual.proj": "visual_projection.weight",
}
TRANSPOSED = ("text_projection", "visual.proj")  # open_clip multiplies from the left
TOWERS = {
    "transformer.resblocks.": "text_model.encoder.layers.",
    "visual.transformer.resblocks.": "vision_model.encoder.layers.",
}


def read_open_clip(path: str | Path, heads: int = HEADS) -> Any:
    """The CLIPModel of a file of open_clip's weights, as of ViT-H-14; heads: of attention, in both towers.

    Raises FileNotFoundError where there is no file, ValueError, with the path, for one that holds other weights.
    """
    from transformers import CLIPConfig, CLIPModel

    weights = read_weights(path, KIND)
    try:
        state = renamed(weights)
        model = CLIPModel(CLIPConfig(**_sizes(weights, heads)))
        model.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: expected {KIND}, got others ({error})") from error
    return model


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by transformers' names; ValueError for a name that open_clip's vision transformers do not have."""
    state: dict[str, Tensor] = {}
    for name, each in weights.items():
        if name in NAMES:
            state[NAMES[name]] = each.T if name in TRANSPOSED else each
            continue
        tower = next((tower for tower in TOWERS if name.startswith(tower)), None)
        if tower is None:
            raise ValueError(f"a weight {name!r}")
        layer, part = name.removeprefix(tower).split(".", maxsplit=1)
        place = f"{TOWERS[tower]}{layer}."
        if part.startswith("attn.in_proj_"):
            kind = part.removeprefix("attn.in_proj_")
            for letter, own in zip("qkv", each.chunk(3)):
                state[f"{place}self_attn.{letter}_proj.{kind}"] = own
        else:
            module, kind = part.rsplit(".", maxsplit=1)
            if module not in BLOCK:
                raise ValueError(f"a weight {name!r}")
            state[f"{place}{BLOCK[module]}.{kind}"] = each
    return state


def _sizes(weights: Mapping[str, Tensor], heads: int) -> dict[str, Any]:
    """What a CLIPConfig is told, read off the shapes."""
    vocabulary, text_width = weights["token_embedding.weight"].shape
    width, _, patch, _ = weights["visual.conv1.weight"].shape
    places = len(weights["visual.positional_embedding"]) - 1
    layers = {tower: 1 + max(_layers(weights, tower)) for tower in TOWERS}
    common = dict(num_attention_heads=heads, hidden_act="gelu")
    text = dict(
        vocab_size=vocabulary,
        hidden_size=text_width,
        intermediate_size=len(weights["transformer.resblocks.0.mlp.c_fc.bias"]),
        num_hidden_layers=layers["transformer.resblocks."],
        max_position_embeddings=len(weights["positional_embedding"]),
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
        **common,
    )
    vision = dict(
        hidden_size=width,
        intermediate_size=len(weights["visual.transformer.resblocks.0.mlp.c_fc.bias"]),
        num_hidden_layers=layers["visual.transformer.resblocks."],
        image_size=patch * round(places**0.5),
        patch_size=patch,
        **common,
    )
    return dict(text_config=text, vision_config=vision, projection_dim=weights["visual.proj"].shape[1])


def _layers(weights: Mapping[str, Tensor], tower: str) -> list[int]:
    return [int(name.removeprefix(tower).split(".")[0]) for name in weights if name.startswith(tower)]
