"""GDSS's score networks, slow and plain: channel by channel, all N x N entries of the batch, padding included.

Written from the equations (arXiv 2202.02514; graph multi-head attention: arXiv 2102.11533) on a state dict with the
authors' names. It is the oracle of the networks' tests and the other side of benchmarks/gdss_networks.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]


def convolution(x: Tensor, adj: Tensor, weights: Weights, name: str) -> Tensor:
    """D^-1/2 Â D^-1/2 x W + b, Â the adjacency with ones on its diagonal, D its degrees, at least 1."""
    looped = adj * (1 - torch.eye(adj.shape[1], dtype=adj.dtype)) + torch.eye(adj.shape[1], dtype=adj.dtype)
    scale = looped.sum(dim=2).clamp(min=1.0) ** -0.5
    normalized = scale[:, :, None] * looped * scale[:, None, :]
    return normalized @ (x @ weights[f"{name}.weight"]) + weights[f"{name}.bias"]


def mlp(x: Tensor, weights: Weights, name: str) -> Tensor:
    depth = sum(key.startswith(f"{name}.linears.") and key.endswith(".weight") for key in weights)
    for place in range(depth):
        x = x @ weights[f"{name}.linears.{place}.weight"].T + weights[f"{name}.linears.{place}.bias"]
        x = F.elu(x) if place < depth - 1 else x
    return x


def attention(x: Tensor, adj: Tensor, weights: Weights, name: str, heads: int) -> tuple[Tensor, Tensor]:
    """One channel: values (B, N, F) and the mean over heads of tanh(q k^T / sqrt(F)), symmetrized, (B, N, N)."""
    query, key, value = (convolution(x, adj, weights, f"{name}.gnn_{letter}") for letter in "qkv")
    width = query.shape[2] // heads
    scores = [q @ k.transpose(1, 2) for q, k in zip(query.split(width, dim=2), key.split(width, dim=2))]
    mean = torch.tanh(torch.stack(scores) / math.sqrt(value.shape[2])).mean(dim=0)
    return value, (mean + mean.transpose(1, 2)) / 2


def layer(x: Tensor, channels: Tensor, mask: Tensor, weights: Weights, name: str, heads: int) -> tuple[Tensor, Tensor]:
    """x (B, N, F) and the channels of the adjacency (B, N, N, C) after one layer."""
    channel_outputs = [
        attention(x, adj, weights, f"{name}.attn.{place}", heads) for place, adj in enumerate(channels.unbind(dim=3))
    ]
    values, attentions = zip(*channel_outputs)
    x = torch.tanh(mlp(torch.cat(values, dim=2), weights, f"{name}.multi_channel") * mask[:, :, None])
    pairs = mlp(torch.cat([torch.stack(attentions, dim=3), channels], dim=3), weights, f"{name}.mlp")
    return x, (pairs + pairs.transpose(1, 2)) * mask[:, :, None, None] * mask[:, None, :, None]


def powers(adj: Tensor, number: int) -> Tensor:
    return torch.stack([torch.linalg.matrix_power(adj, power) for power in range(1, number + 1)], dim=3)


def num_layers(weights: Weights) -> int:
    return 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("layers."))


def score_x(x: Tensor, adj: Tensor, mask: Tensor, weights: Weights, config: dict) -> Tensor:
    """ScoreNetworkX or ScoreNetworkX_GMH, (B, N, F)."""
    features, mask = [x], mask.to(x.dtype)
    channels = powers(adj, config.get("c_init", 1))
    for place in range(num_layers(weights)):
        if config["model_type"] == "ScoreNetworkX":
            x = convolution(x, adj, weights, f"layers.{place}")
        else:
            x, channels = layer(x, channels, mask, weights, f"layers.{place}", config["num_heads"])
        x = torch.tanh(x)
        features.append(x)
    return mlp(torch.cat(features, dim=2), weights, "final") * mask[:, :, None]


def score_adj(x: Tensor, adj: Tensor, mask: Tensor, weights: Weights, config: dict) -> Tensor:
    """ScoreNetworkA, (B, N, N)."""
    channels, mask = powers(adj, config["c_init"]), mask.to(x.dtype)
    features = [channels]
    for place in range(num_layers(weights)):
        x, channels = layer(x, channels, mask, weights, f"layers.{place}", config["num_heads"])
        features.append(channels)
    score = mlp(torch.cat(features, dim=3), weights, "final").squeeze(3)
    return score * (1 - torch.eye(adj.shape[1], dtype=adj.dtype)) * mask[:, :, None] * mask[:, None, :]
