"""The score networks of GDSS: the authors' ScoreNetworkX, ScoreNetworkX_GMH and ScoreNetworkA, evaluated fast.

A network sees graphs x (B, N, F), adj (B, N, N) symmetric and mask (B, N), bool or node flags, and returns what the
authors' modules return: the score of a variance-exploding SDE itself, and of a variance-preserving one -std · score.
What adj holds on its diagonal and what lies at masked nodes is not read. No network reads the diffusion time.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from svlearn.domains.molecules.gdss.layers import MLP, AttentionLayers, AttentionShape, Projection, propagate
from svlearn.domains.molecules.gdss.packing import Graphs, merge_nodes, merge_pairs, split


class NodeScore(nn.Module, ABC):
    """The score of the node features, (B, N, F). num_powers: how many powers of the adjacency it reads."""

    num_powers = 0

    def __init__(self, num_features: int, hidden: int, depth: int):
        super().__init__()
        self.num_features = num_features
        width = num_features + depth * hidden
        self.final = MLP(3, width, 2 * width, num_features)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        check_graphs(x, adj, mask, self.num_features)
        return merge_nodes(x, [(graphs, self.of_graphs(graphs)) for graphs in split(x, adj, mask, self.num_powers)])

    def of_graphs(self, graphs: Graphs) -> Tensor:
        """Of the real nodes, (R, F)."""
        return self.final(torch.cat([each.flatten(0, 1)[graphs.nodes] for each in self.hidden(graphs)], dim=1))

    @abstractmethod
    def hidden(self, graphs: Graphs) -> list[Tensor]:
        """The features of the nodes after every layer, the input first, each (b, n, ·)."""


class ConvolutionScoreX(NodeScore):
    """ScoreNetworkX: graph convolutions on the adjacency itself."""

    def __init__(self, num_features: int, hidden: int, depth: int):
        super().__init__(num_features, hidden, depth)
        inputs = [num_features, *[hidden] * (depth - 1)]
        self.layers = nn.ModuleList(Projection(width, hidden) for width in inputs)

    def hidden(self, graphs: Graphs) -> list[Tensor]:
        adj = graphs.adj.unsqueeze(0)
        nodes = [graphs.x]
        for layer in self.layers:
            nodes.append(torch.tanh(layer(propagate(nodes[-1], adj).squeeze(0))))
        return nodes


class AttentionScoreX(NodeScore):
    """ScoreNetworkX_GMH: graph multi-head attention on powers of the adjacency."""

    def __init__(self, num_features: int, hidden: int, depth: int, channels: list[int], attention: AttentionShape):
        super().__init__(num_features, hidden, depth)
        self.num_powers = channels[0]
        self.layers = AttentionLayers(num_features, hidden, channels, attention)

    def hidden(self, graphs: Graphs) -> list[Tensor]:
        nodes, pairs = [graphs.x], graphs.powers[:, : self.num_powers]
        for layer in self.layers:
            query, key, hidden = layer.project(graphs, nodes[-1], pairs)
            nodes.append(torch.tanh(layer.next_nodes(graphs, hidden)))
            if layer is not self.layers[-1]:
                pairs = layer.next_pairs(graphs, query, key, pairs)
        return nodes


class ScoreAdj(nn.Module):
    """ScoreNetworkA: the score of the adjacency, (B, N, N), symmetric, 0 on the diagonal."""

    def __init__(self, num_features: int, hidden: int, channels: list[int], attention: AttentionShape):
        super().__init__()
        self.num_features, self.num_powers = num_features, channels[0]
        self.layers = AttentionLayers(num_features, hidden, channels, attention)
        self.final = MLP(3, sum(channels), 2 * sum(channels), 1)

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
        check_graphs(x, adj, mask, self.num_features)
        return merge_pairs(adj, [(graphs, self.of_graphs(graphs)) for graphs in split(x, adj, mask, self.num_powers)])

    def of_graphs(self, graphs: Graphs) -> Tensor:
        """Of the real pairs, (P,)."""
        x, matrices = graphs.x, [graphs.powers[:, : self.num_powers]]
        for layer in self.layers:
            query, key, hidden = layer.project(graphs, x, matrices[-1])
            matrices.append(layer.next_pairs(graphs, query, key, matrices[-1]))
            if layer is not self.layers[-1]:
                x = layer.next_nodes(graphs, hidden)
        return self.final(torch.cat(matrices, dim=1)).squeeze(1)


class ScoreNetworks(nn.Module):
    """Both at once, for one cut of the batch: (x, adj, mask) -> (score of x, score of adj)."""

    def __init__(self, network_x: NodeScore, network_adj: ScoreAdj):
        super().__init__()
        self.network_x, self.network_adj = network_x, network_adj

    def forward(self, x: Tensor, adj: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        check_graphs(x, adj, mask, self.network_x.num_features)
        nodes, pairs = [], []
        for graphs in split(x, adj, mask, max(self.network_x.num_powers, self.network_adj.num_powers)):
            nodes.append((graphs, self.network_x.of_graphs(graphs)))
            pairs.append((graphs, self.network_adj.of_graphs(graphs)))
        return merge_nodes(x, nodes), merge_pairs(adj, pairs)


def check_graphs(x: Tensor, adj: Tensor, mask: Tensor, num_features: int) -> None:
    """Raise ValueError unless the shapes are (B, N, F), (B, N, N) and (B, N)."""
    if x.dim() != 3 or x.shape[2] != num_features:
        raise ValueError(f"x: expected shape (B, N, {num_features}), got {tuple(x.shape)}")
    if adj.shape != (*x.shape[:2], x.shape[1]):
        raise ValueError(f"adj: expected shape {(*x.shape[:2], x.shape[1])}, got {tuple(adj.shape)}")
    if mask.shape != x.shape[:2]:
        raise ValueError(f"mask: expected shape {tuple(x.shape[:2])}, got {tuple(mask.shape)}")
