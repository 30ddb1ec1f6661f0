"""BLIP that attends to an image as it reads a text, and a head: the network of ImageReward, from its authors' file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.domains.images.rewards.heads import score_head
from svlearn.domains.images.rewards.preprocessing import cropped, normalised
from svlearn.domains.images.rewards.weights import read_weights

KIND = "the weights of ImageReward"
HEAD_WIDTH = 64  # of attention, in both towers
VISION, TEXT, SCORE = "blip.visual_encoder.", "blip.text_encoder.", "mlp.layers."
UNUSED = ("blip.vision_proj.", "blip.text_proj.", f"{TEXT}embeddings.position_ids")
RENAMED = (
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^norm\.", "post_layernorm."),
)


class BlipScore(nn.Module):
    """The score (B,) of images (B, C, H, W) in [0, 1] and the tokens (B, L) of texts, before it is standardised.

    vision: a BlipVisionModel. text: a BlipTextModel with cross-attention. head: (B, text width) -> (B, 1).
    """

    vision: Any
    text: Any

    def __init__(self, vision: nn.Module, text: nn.Module, head: nn.Module):
        super().__init__()
        self.vision, self.text, self.head = vision, text, head

    def forward(self, images: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        pixels = normalised(cropped(images, self.vision.config.image_size))
        seen = self.vision(pixel_values=pixels.to(self.vision.embeddings.class_embedding.dtype))[0]
        output = self.text(
            input_ids=tokens,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        )
        return self.head(output[0][:, 0].to(next(self.head.parameters()).dtype)).squeeze(1).float()


def read_blip_score(path: str | Path) -> BlipScore:
    """The network in a file of the authors; FileNotFoundError where there is none, ValueError for other weights."""
    weights = {name: each for name, each in read_weights(path, KIND).items() if not name.startswith(UNUSED)}
    try:
        parts = {prefix: _of(weights, prefix) for prefix in (VISION, TEXT, SCORE)}
        if sum(map(len, parts.values())) != len(weights):
            raise ValueError(f"weights of another part: {next(n for n in weights if not n.startswith(tuple(parts)))}")
        score = _built(parts[VISION], parts[TEXT])
        score.vision.load_state_dict({_renamed(name): each for name, each in parts[VISION].items()})
        score.text.load_state_dict(parts[TEXT])
        score.head.load_state_dict(parts[SCORE])
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: expected {KIND}, got others ({error})") from error
    return score


def _built(vision: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> BlipScore:
    """The networks of these weights' sizes."""
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

    width, _, patch, _ = vision["patch_embed.proj.weight"].shape
    places = vision["pos_embed"].shape[1] - 1
    vision_config = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=len(vision["blocks.0.mlp.fc1.bias"]),
        num_hidden_layers=_number_of_layers(vision, "blocks."),
        num_attention_heads=width // HEAD_WIDTH,
        image_size=patch * round(places**0.5),
        patch_size=patch,
        layer_norm_eps=1e-6,
    )
    vocabulary, text_width = text["embeddings.word_embeddings.weight"].shape
    text_config = BlipTextConfig(
        vocab_size=vocabulary,
        hidden_size=text_width,
        encoder_hidden_size=width,
        intermediate_size=len(text["encoder.layer.0.intermediate.dense.bias"]),
        num_hidden_layers=_number_of_layers(text, "encoder.layer."),
        num_attention_heads=text_width // HEAD_WIDTH,
        max_position_embeddings=len(text["embeddings.position_embeddings.weight"]),
        layer_norm_eps=1e-12,
        bos_token_id=None,
        sep_token_id=None,
        eos_token_id=None,
    )
    text_model = BlipTextModel(text_config, add_pooling_layer=False)
    return BlipScore(BlipVisionModel(vision_config), text_model, score_head(text_width))


def _of(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in weights.items() if name.startswith(prefix)}


def _renamed(name: str) -> str:
    """A name of the authors' vision transformer as transformers has it."""
    for pattern, new in RENAMED:
        name = re.sub(pattern, new, name)
    return name


def _number_of_layers(weights: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in weights if name.startswith(prefix))
