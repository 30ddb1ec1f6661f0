"""The layers of GDSS's score networks: all channels of the adjacency at once, every pair of nodes once."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.molecules.gdss.packing import Graphs, pack


class MLP(nn.Module):
    """Linear layers with ELU between them."""

    def __init__(self, depth: int, inputs: int, hidden: int, outputs: int):
        super().__init__()
        widths = [inputs, *[hidden] * (depth - 1), outputs]
        self.linears = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for linear in self.linears[:-1]:
            x = F.elu(linear(x), inplace=True)
        return self.linears[-1](x)


class Projection(nn.Module):
    """The weights (*, F, G) and biases (*, G) of a graph convolution, or of one per channel."""

    def __init__(self, *shape: int):
        super().__init__()
        limit = math.sqrt(6 / sum(shape[-2:]))
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(*shape[:-2], shape[-1]))

    def forward(self, x: Tensor) -> Tensor:
        """x W + b, (*, n, F) to (*, n, G)."""
        return x @ self.weight + self.bias.unsqueeze(-2)


def propagate(x: Tensor, adj: Tensor) -> Tensor:
    """D^-1/2 (A + 1) D^-1/2 x per channel, D the degrees of A + 1, at least 1 (arXiv 1609.02907, equation 2).

    x: (b, n, F). adj: A, 0 on its diagonal, (C, b, n, n). Returns (C, b, n, F).
    """
    scale = (1 + adj.sum(dim=3, keepdim=True)).clamp(min=1.0).rsqrt()
    scaled = (scale * x).flatten(0, 1)
    return torch.baddbmm(scaled, adj.flatten(0, 1), scaled).view(*scale.shape[:3], -1) * scale


class AttentionShape(NamedTuple):
    """What all attention layers of a network share: the width of Q and K, their heads, the depth of the pairs' MLP."""

    width: int
    heads: int
    depth: int


class AttentionLayer(nn.Module):
    """Graph multi-head attention over C channels of the adjacency (arXiv 2202.02514; 2102.11533).

    Per channel c: Q, K, V = propagate(x, A_c) W + b; M_c = mean over heads of tanh(Q Kᵀ/√G), symmetrized, G the width
    of V. The nodes become tanh(MLP([V_c]_c)), and the pair ij becomes 2 · MLP([M_c,ij]_c, [A_c,ij]_c), for the authors
    add the mirror image.

    V and the first layer of the MLP that reads it are linear, one after the other, and kept as one: `projection` holds
    for every channel the weights of Q, K and of that product, whose sum over channels is the MLP's hidden layer.
    """

    def __init__(self, inputs: int, outputs: int, channels: tuple[int, int], attention: AttentionShape):
        super().__init__()
        if attention.width % attention.heads:
            raise ValueError(f"heads: expected a divisor of the width {attention.width}, got {attention.heads}")
        hidden = 2 * max(channels)
        self.heads, self.scale = attention.heads, 1 / math.sqrt(outputs)
        self.widths = [attention.width, attention.width, hidden]
        self.projection = Projection(channels[0], inputs, sum(self.widths))
        self.node = nn.Linear(hidden, outputs)
        self.mlp = MLP(attention.depth, 2 * channels[0], hidden, channels[1])

    def project(self, graphs: Graphs, x: Tensor, pairs: Tensor) -> tuple[Tensor, ...]:
        """Q, K and what is to be summed to the hidden layer, (C, b·n, ·), of x (b, n, F) and real pairs (P, C)."""
        features = propagate(x, graphs.unpack(pairs)).flatten(1, 2)
        return self.projection(features).split(self.widths, dim=2)

    def next_nodes(self, graphs: Graphs, hidden: Tensor) -> Tensor:
        """The nodes after the layer, (b, n, G)."""
        return torch.tanh(self.node(F.elu(hidden.sum(dim=0)))).view(*graphs.x.shape[:2], self.node.out_features)

    def next_pairs(self, graphs: Graphs, query: Tensor, key: Tensor, pairs: Tensor) -> Tensor:
        """The real pairs after the layer, (P, C')."""
        return 2 * self.mlp(torch.cat([self.attend(graphs, query, key).T, pairs], dim=1))

    def attend(self, graphs: Graphs, query: Tensor, key: Tensor) -> Tensor:
        """M of the real pairs, (C, P)."""
        batch, nodes = graphs.x.shape[:2]
        query, key = (
            each.reshape(-1, nodes, self.heads, self.widths[0] // self.heads).permute(2, 0, 1, 3).flatten(0, 1)
            for each in (query, key)
        )
        # tanh(s) = 2 sigmoid(2 s) - 1, and sigmoid is several times faster
        scores = torch.baddbmm(query.new_zeros(()), query, key.mT, beta=0, alpha=2 * self.scale).sigmoid_()
        total = scores.view(self.heads, -1, batch, nodes, nodes).sum(dim=0)
        return pack(total, graphs.pairs) / self.heads - 1


class AttentionLayers(nn.ModuleList):
    """A layer between every two numbers of channels; in the first one Q and K are as wide as V."""

    def __init__(self, num_features: int, hidden: int, channels: list[int], attention: AttentionShape):
        first = AttentionLayer(num_features, hidden, (channels[0], channels[1]), attention._replace(width=hidden))
        super().__init__([first, *(AttentionLayer(hidden, hidden, each, attention) for each in pairwise(channels[1:]))])

    def __iter__(self) -> Iterator[AttentionLayer]:
        return cast(Iterator[AttentionLayer], super().__iter__())
