"""The state of GDSS: real node features and real edge weights of a graph that is being generated.

A batch of B graphs of at most N nodes is a `TensorDict` with batch size (B,):

    x     (B, N, F) float  what a node is: near 1 at one kind of atom in a finished graph, near 0 at the others
    adj   (B, N, N) float  symmetric, 0 on the diagonal: near the bond order in a finished graph
    mask  (B, N) bool      which nodes exist; all that belongs to one that does not is 0

What is free of it, as a vector (B, N F + P): the features, then each of the P = N (N - 1) / 2 edges once.
"""

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.graph import pair_indices, pair_mask, to_dense
from svlearn.transitions import Coordinates


def continuous_state(x: Tensor, adj: Tensor, mask: Tensor) -> TensorDict:
    """Build the state from x (B, N, F), adj (B, N, N) and mask (B, N)."""
    return TensorDict({"x": x, "adj": adj, "mask": mask}, batch_size=[len(x)], device=x.device)


def to_vector(x: Tensor, adj: Tensor) -> Tensor:
    """(B, N, F) and (B, N, N) to (B, N F + P); the upper triangle of adj is read."""
    first, second = pair_indices(adj.shape[1]).to(adj.device)
    return torch.cat([x.flatten(1), adj[:, first, second]], dim=1)


def from_vector(vector: Tensor, mask: Tensor) -> TensorDict:
    """The state of a vector (B, N F + P), which is 0 for nodes that do not exist, and the mask (B, N)."""
    nodes = mask.shape[1]
    features = vector.shape[1] - nodes * (nodes - 1) // 2
    x, pairs = vector.split([features, vector.shape[1] - features], dim=1)
    return continuous_state(x.unflatten(1, (nodes, features // nodes)), to_dense(pairs, nodes), mask)


def free_entries(mask: Tensor, num_features: int) -> tuple[Tensor, Tensor]:
    """Which features (B, N F) and which edges (B, P) of a vector belong to nodes that exist."""
    return mask.repeat_interleave(num_features, dim=1), pair_mask(mask)


class GraphCoordinates(Coordinates):
    """(B, N F + P): the features, and each edge once; 0 for what does not exist. The mask is what stays."""

    def of(self, x: TensorDict) -> Tensor:
        return to_vector(x["x"], x["adj"])

    def state(self, coordinates: Tensor, x: TensorDict) -> TensorDict:
        return from_vector(self._existing(coordinates, x), x["mask"])

    def gradient(self, gradient: TensorDict, x: TensorDict) -> Tensor:
        """gradient: of x (B, N, F) and of all of adj (B, N, N); that of an edge is g_ij + g_ji."""
        return self._existing(to_vector(gradient["x"], gradient["adj"] + gradient["adj"].mT), x)

    def conditions(self, x: TensorDict) -> list[Tensor]:
        return [x["mask"]]

    def _existing(self, coordinates: Tensor, x: TensorDict) -> Tensor:
        exists = torch.cat(free_entries(x["mask"], x["x"].shape[2]), dim=1)
        return torch.where(exists, coordinates, 0.0)
