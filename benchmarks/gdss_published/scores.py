"""GDSS's scores where a graph holds more than its mask says, as the published sampler leaves it.

The authors' networks zero what a mask leaves out after each attention layer and at the end, but read all of x and adj
before. svlearn's cut a graph down to its mask first, which is the same, and faster, for graphs that are empty outside.
Here the graphs are cut to all that they hold, and the mask comes where the authors have it.
"""

import torch
from torch import Tensor

from svlearn.domains.molecules.gdss.networks import ConvolutionScoreX, ScoreAdj, ScoreNetworks
from svlearn.domains.molecules.gdss.packing import Graphs, merge_nodes, merge_pairs, split


def masked_scores(networks: ScoreNetworks, x: Tensor, adj: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What the authors' networks say of x (B, N, F) and adj (B, N, N) with node flags mask (B, N) bool.

    Raises TypeError for the second ZINC checkpoint, whose features have attention too: the published runs are of the
    first.
    """
    if not isinstance(networks.network_x, ConvolutionScoreX):
        raise TypeError(f"networks: expected features of convolutions, got {type(networks.network_x).__name__}")
    held = mask | (x != 0).any(dim=2) | (adj != 0).any(dim=2)
    nodes, pairs = [], []
    for graphs in split(x, adj, held, networks.network_adj.num_powers):
        nodes.append((graphs, networks.network_x.of_graphs(graphs)))
        pairs.append((graphs, _of_pairs(networks.network_adj, graphs, mask)))
    both = mask.unsqueeze(2) & mask.unsqueeze(1)
    return merge_nodes(x, nodes) * mask.unsqueeze(2), merge_pairs(adj, pairs) * both


def _of_pairs(network: ScoreAdj, graphs: Graphs, mask: Tensor) -> Tensor:
    """`ScoreAdj.of_graphs`, with nodes and pairs outside the mask set to 0 after each layer, (P,)."""
    size = mask.shape[1]
    cells = graphs.targets_adj[0]
    rows, first, second = cells // size**2, cells // size % size, cells % size
    of_pairs = (mask[rows, first] & mask[rows, second]).unsqueeze(1)
    of_nodes = torch.zeros(graphs.x.shape[0] * graphs.x.shape[1], dtype=torch.bool, device=mask.device)
    of_nodes[graphs.nodes] = mask.flatten()[graphs.targets_x]
    of_nodes = of_nodes.view(*graphs.x.shape[:2], 1)
    x, matrices = graphs.x, [graphs.powers[:, : network.num_powers]]
    for layer in network.layers:
        query, key, hidden = layer.project(graphs, x, matrices[-1])
        matrices.append(layer.next_pairs(graphs, query, key, matrices[-1]) * of_pairs)
        x = layer.next_nodes(graphs, hidden) * of_nodes
    return network.final(torch.cat(matrices, dim=1)).squeeze(1)
