"""ImageReward in its authors' layout, as their code computes it, from a dict of weights alone."""

import torch
from plain_clip import linear, norm
from torch.nn import functional as F

WIDTH, TEXT_WIDTH, HEAD_WIDTH, LAYERS, TOKENS, PLACES = 128, 768, 64, 2, 9, 40
SCORE = (0, 2, 4, 6, 7)
MEAN, STD = 0.16717362830052426, 1.0333394966054072


def image_reward_weights(patch=16, size=32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape, scale=None):
        return (shape[-1] ** -0.5 if scale is None else scale) * torch.randn(shape, generator=generator)

    vision, text = "blip.visual_encoder.", "blip.text_encoder."
    weights = {
        f"{vision}cls_token": drawn(1, 1, WIDTH, scale=0.3),
        f"{vision}pos_embed": drawn(1, (size // patch) ** 2 + 1, WIDTH, scale=0.3),
        f"{vision}patch_embed.proj.weight": drawn(WIDTH, 3, patch, patch, scale=0.05),
        f"{vision}patch_embed.proj.bias": drawn(WIDTH, scale=0.2),
        f"{text}embeddings.word_embeddings.weight": drawn(TOKENS, TEXT_WIDTH, scale=1.0),
        f"{text}embeddings.position_embeddings.weight": drawn(PLACES, TEXT_WIDTH, scale=0.3),
        f"{text}embeddings.position_ids": torch.arange(PLACES).expand(1, -1).clone(),
    }
    layers = {"blip.vision_proj": (256, WIDTH), "blip.text_proj": (256, TEXT_WIDTH)}
    norms = {f"{vision}norm": WIDTH, f"{text}embeddings.LayerNorm": TEXT_WIDTH}
    for layer in range(LAYERS):
        block = f"{vision}blocks.{layer}."
        layers |= {f"{block}attn.qkv": (3 * WIDTH, WIDTH), f"{block}attn.proj": (WIDTH, WIDTH)}
        layers |= {f"{block}mlp.fc1": (2 * WIDTH, WIDTH), f"{block}mlp.fc2": (WIDTH, 2 * WIDTH)}
        norms |= {f"{block}norm1": WIDTH, f"{block}norm2": WIDTH}
        block = f"{text}encoder.layer.{layer}."
        for kind, seen in (("attention", TEXT_WIDTH), ("crossattention", WIDTH)):
            sides = {"query": TEXT_WIDTH, "key": seen, "value": seen}
            layers |= {f"{block}{kind}.self.{side}": (TEXT_WIDTH, width) for side, width in sides.items()}
            layers[f"{block}{kind}.output.dense"] = (TEXT_WIDTH, TEXT_WIDTH)
            norms[f"{block}{kind}.output.LayerNorm"] = TEXT_WIDTH
        layers[f"{block}intermediate.dense"] = (96, TEXT_WIDTH)
        layers[f"{block}output.dense"] = (TEXT_WIDTH, 96)
        norms[f"{block}output.LayerNorm"] = TEXT_WIDTH
    widths = (TEXT_WIDTH, 1024, 128, 64, 16, 1)
    layers |= {f"mlp.layers.{place}": (after, before) for place, before, after in zip(SCORE, widths, widths[1:])}
    for name, shape in layers.items():
        weights |= {f"{name}.weight": drawn(*shape), f"{name}.bias": drawn(shape[0], scale=0.2)}
    for name, width in norms.items():
        weights |= {f"{name}.weight": 1 + drawn(width, scale=0.2), f"{name}.bias": drawn(width, scale=0.2)}
    return weights


def score(weights, pixels, tokens, mask):
    """(B,), in float64, of pixels (B, 3, H, W), tokens and their mask (B, L)."""
    seen = vision(_part(weights, "blip.visual_encoder."), pixels.double())
    x = text(_part(weights, "blip.text_encoder."), tokens, mask, seen)[:, 0]
    head = _part(weights, "mlp.layers.")
    for place in SCORE:
        x = linear(head, str(place), x)
    return (x.squeeze(1) - MEAN) / STD


def vision(own, pixels):
    x = F.conv2d(pixels, own["patch_embed.proj.weight"], own["patch_embed.proj.bias"], stride=16)
    x = torch.cat([own["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1) + own["pos_embed"]
    for layer in range(LAYERS):
        block = f"blocks.{layer}."
        parts = linear(own, f"{block}attn.qkv", norm(own, f"{block}norm1", x, 1e-6)).chunk(3, dim=-1)
        x = x + linear(own, f"{block}attn.proj", attend(*parts, None))
        y = norm(own, f"{block}norm2", x, 1e-6)
        x = x + linear(own, f"{block}mlp.fc2", F.gelu(linear(own, f"{block}mlp.fc1", y)))
    return norm(own, "norm", x, 1e-6)


def text(own, tokens, mask, seen):
    words, places = (own[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position"))
    x = norm(own, "embeddings.LayerNorm", words[tokens] + places[: tokens.shape[1]], 1e-12)
    hidden = (1.0 - mask[:, None, None, :].double()) * -10000.0
    for layer in range(LAYERS):
        block = f"encoder.layer.{layer}."
        for kind, source, shut in (("attention", None, hidden), ("crossattention", seen, None)):
            source = x if source is None else source
            query = linear(own, f"{block}{kind}.self.query", x)
            key, value = (linear(own, f"{block}{kind}.self.{side}", source) for side in ("key", "value"))
            y = linear(own, f"{block}{kind}.output.dense", attend(query, key, value, shut))
            x = norm(own, f"{block}{kind}.output.LayerNorm", y + x, 1e-12)
        y = linear(own, f"{block}output.dense", F.gelu(linear(own, f"{block}intermediate.dense", x)))
        x = norm(own, f"{block}output.LayerNorm", y + x, 1e-12)
    return x


def attend(query, key, value, shut):
    """Heads of 64 numbers."""
    query, key, value = (each.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2) for each in (query, key, value))
    scores = query @ key.transpose(-1, -2) / HEAD_WIDTH**0.5
    weights = (scores if shut is None else scores + shut).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def _part(weights, prefix):
    return {name.removeprefix(prefix): each.double() for name, each in weights.items() if name.startswith(prefix)}
