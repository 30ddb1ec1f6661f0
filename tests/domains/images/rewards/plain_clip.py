"""CLIP in open_clip's layout, as its code computes it from a dict of weights: nothing here is of transformers."""

import torch
from torch.nn import functional as F

LENGTH, VOCABULARY, EMBEDDING, LAYERS = 16, 522, 12, 2


def open_clip_weights(text_width=24, width=32, patch=8, size=32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)

    def drawn(*shape, scale=None):
        scale = shape[-1] ** -0.5 if scale is None else scale
        return scale * torch.randn(shape, generator=generator)

    weights = {
        "positional_embedding": drawn(LENGTH, text_width, scale=0.3),
        "text_projection": drawn(text_width, EMBEDDING, scale=text_width**-0.5),
        "logit_scale": torch.tensor(3.2),
        "token_embedding.weight": drawn(VOCABULARY, text_width, scale=1.0),
        "visual.class_embedding": drawn(width, scale=0.3),
        "visual.positional_embedding": drawn((size // patch) ** 2 + 1, width, scale=0.3),
        "visual.proj": drawn(width, EMBEDDING, scale=width**-0.5),
        "visual.conv1.weight": drawn(width, 3, patch, patch, scale=0.1),
    }
    norms = {"ln_final": text_width, "visual.ln_pre": width, "visual.ln_post": width}
    for tower, own in (("", text_width), ("visual.", width)):
        for layer in range(LAYERS):
            block = f"{tower}transformer.resblocks.{layer}."
            norms |= {f"{block}ln_1": own, f"{block}ln_2": own}
            shapes = {"attn.out_proj": (own, own), "mlp.c_fc": (2 * own, own), "mlp.c_proj": (own, 2 * own)}
            for name, shape in shapes.items():
                weights[f"{block}{name}.weight"] = drawn(*shape)
                weights[f"{block}{name}.bias"] = drawn(shape[0], scale=0.2)
            weights[f"{block}attn.in_proj_weight"] = drawn(3 * own, own)
            weights[f"{block}attn.in_proj_bias"] = drawn(3 * own, scale=0.2)
    for name, own in norms.items():
        weights[f"{name}.weight"] = 1 + drawn(own, scale=0.2)
        weights[f"{name}.bias"] = drawn(own, scale=0.2)
    return weights


def image_features(weights, pixels, heads):
    """(B, E) of length 1, of pixels (B, 3, H, W), in float64."""
    own = {name.removeprefix("visual."): each.double() for name, each in weights.items() if name.startswith("visual.")}
    patch = own["conv1.weight"].shape[-1]
    x = F.conv2d(pixels.double(), own["conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
    x = torch.cat([own["class_embedding"].expand(len(x), 1, -1), x], dim=1) + own["positional_embedding"]
    x = blocks(own, norm(own, "ln_pre", x), heads, None)
    return F.normalize(norm(own, "ln_post", x[:, 0]) @ own["proj"], dim=-1)


def text_features(weights, tokens, heads):
    """(B, E) of length 1, of tokens (B, 16), the last of a text the highest, in float64."""
    own = {name: each.double() for name, each in weights.items()}
    mask = torch.full((LENGTH, LENGTH), -torch.inf, dtype=torch.float64).triu(1)
    x = own["token_embedding.weight"][tokens] + own["positional_embedding"]
    x = norm(own, "ln_final", blocks(own, x, heads, mask))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ own["text_projection"], dim=-1)


def blocks(own, x, heads, mask):
    layer = 0
    while f"transformer.resblocks.{layer}.ln_1.weight" in own:
        part = f"transformer.resblocks.{layer}."
        y = norm(own, f"{part}ln_1", x).transpose(0, 1)
        attended, _ = F.multi_head_attention_forward(
            y,
            y,
            y,
            x.shape[-1],
            heads,
            own[f"{part}attn.in_proj_weight"],
            own[f"{part}attn.in_proj_bias"],
            None,
            None,
            False,
            0.0,
            own[f"{part}attn.out_proj.weight"],
            own[f"{part}attn.out_proj.bias"],
            training=False,
            need_weights=False,
            attn_mask=mask,
        )
        x = x + attended.transpose(0, 1)
        x = x + linear(own, f"{part}mlp.c_proj", F.gelu(linear(own, f"{part}mlp.c_fc", norm(own, f"{part}ln_2", x))))
        layer += 1
    return x


def norm(own, name, x, eps=1e-5):
    return F.layer_norm(x, x.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"], eps)


def linear(own, name, x):
    return F.linear(x, own[f"{name}.weight"], own[f"{name}.bias"])
