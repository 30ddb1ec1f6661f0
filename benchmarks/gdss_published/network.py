"""The value network of the SVDD paper's molecules, as its authors' code makes and asks it.

A GIN (arXiv 1810.00826) of node features and of which edge weights are not 0, five convolutions of GINConv, the mean
over all 38 places (hyanan16/SVDD-molecule, GINs.py and config/sample_zinc250k.yaml). It reads no time. Of a graph that
is still noisy every two atoms have an edge weight that is not 0, so that it sees a complete graph whatever the bonds:
it knows the atoms and their number, and no bond. Narrower than theirs, which is 300 wide.
"""

import torch
from torch import Tensor, nn

WIDTH, DEPTH, DROPOUT = 64, 5, 0.5


class PublishedNetwork(nn.Module):
    """f(x, adj), (B,), of x (B, N, F) and adj (B, N, N), of which only the places that are not 0 are read."""

    def __init__(self, num_features: int = 9, width: int = WIDTH):
        super().__init__()
        inputs = [num_features, *[width] * (DEPTH - 1)]
        self.updates = nn.ModuleList(_update(before, width) for before in inputs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in inputs)
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor, adj: Tensor) -> Tensor:
        edges = (adj != 0).to(x.dtype)
        for place, (update, norm) in enumerate(zip(self.updates, self.norms)):
            read = torch.baddbmm(x, edges, x).flatten(0, 1)
            nodes = norm(update(read))
            nodes = self.dropout(nodes.relu() if place < DEPTH - 1 else nodes)
            x = nodes.view(*adj.shape[:2], -1)
        return self.head(x.mean(dim=1)).squeeze(1)


def _update(before: int, width: int) -> nn.Sequential:
    """What a convolution does to a node and the sum of its neighbours."""
    return nn.Sequential(
        nn.Linear(before, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, width)
    )
