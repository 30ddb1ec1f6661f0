"""A transformer over sequences with rotary positions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.sequences.networks.reading import Embedding, TimeEmbedding


class RotaryTransformer(nn.Module):
    """p(x_T | x_t) place by place: attention in both directions, positions by rotation (RoPE, arXiv 2104.09864).

    forward(x, moments) -> logits (B, L, V), for every place, masked or not; x: token ids (B, L), or soft one-hots
    (B, L, V + 1); moments (B,), float: the share that is unmasked, read where time_width > 0.

    num_letters: V. width: of a place's vector, a multiple of 2 · num_heads; depth: layers; ends: whether (1) each
    place is told how far it is from the two ends, which rotations leave open. time_width: 0, or the width of the time's
    embedding. Raises ValueError for a width that the heads do not divide so.
    """

    tells_hidden = True

    def __init__(
        self,
        num_letters: int = 4,
        width: int = 96,
        depth: int = 4,
        num_heads: int = 4,
        ends: int = 1,
        time_width: int = 0,
    ):
        super().__init__()
        if width % (2 * num_heads):
            raise ValueError(f"width: expected a multiple of 2 · num_heads = {2 * num_heads}, got {width}")
        self.hyperparameters = dict(
            num_letters=num_letters, width=width, depth=depth, num_heads=num_heads, ends=ends, time_width=time_width
        )
        self.width = width
        self.embedding = Embedding(num_letters, width)
        self.ends = nn.Linear(2 * END_FEATURES, width) if ends else None
        self.layers = nn.ModuleList(AttentionLayer(width, num_heads) for _ in range(depth))
        self.time = TimeEmbedding(time_width) if time_width else None
        self.shift = nn.Linear(time_width, width) if time_width else None
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_letters))

    @property
    def reads_time(self) -> bool:
        return self.time is not None

    def hidden(self, x: Tensor, moments: Tensor) -> Tensor:
        """What the last layer gives, (B, L, width)."""
        nodes = self.embedding(x)
        places = torch.arange(nodes.shape[1], device=nodes.device, dtype=nodes.dtype)
        if self.ends is not None:
            nodes = nodes + self.ends(torch.cat([_decays(places), _decays(places.flip(0))], dim=1))
        if self.time is not None and self.shift is not None:
            nodes = nodes + self.shift(self.time(moments))[:, None]
        turns = rotations(places, nodes.shape[2] // self.layers[0].num_heads)
        for layer in self.layers:
            nodes = layer(nodes, turns)
        return nodes

    def forward(self, x: Tensor, moments: Tensor) -> Tensor:
        return self.head(self.hidden(x, moments))


END_FEATURES = 6


def _decays(distances: Tensor) -> Tensor:
    """exp(-distance/2^k), (L, 6): near an end by steps of a few letters, far from it by many."""
    return torch.exp(-distances[:, None] / 2.0 ** torch.arange(END_FEATURES, device=distances.device))


def rotations(places: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The cosines and sines (L, size) of the angles by which the two halves of a head are turned at each place."""
    rates = 10_000.0 ** -(torch.arange(0, size, 2, device=places.device, dtype=places.dtype) / size)
    angles = torch.cat([places[:, None] * rates] * 2, dim=1)
    return angles.cos(), angles.sin()


def rotated(vectors: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Vectors (B, heads, L, size), turned by their place: a product of two depends on their distance alone."""
    first, second = vectors.chunk(2, dim=-1)
    return vectors * turns[0] + torch.cat([-second, first], dim=-1) * turns[1]


class AttentionLayer(nn.Module):
    """x + attention, then x + perceptron, each of the normalised x, (B, L, C)."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.update = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, width = x.shape
        qkv = self.query_key_value(self.norm(x)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(rotated(query, turns), rotated(key, turns), value)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.update(x)
