"""Batches of graphs cut down to what is real: graphs of like size together, each unordered pair of nodes once."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# b·n² of one cut: few enough that a layer's work stays in a CPU's cache, enough that a GPU is busy
CELLS = {"cpu": 16384}
CELLS_ELSEWHERE = 1 << 20


@dataclass(frozen=True)
class Graphs:
    """b graphs of at most n nodes, the real ones first, with R real nodes and P real pairs (i, j), i < j, in all.

    x            (b, n, F), 0 where there is no node
    adj          (b, n, n), symmetric, 0 on the diagonal and where there is no node
    nodes        (R,) the rows of the real nodes among b·n
    pairs        (2, P) the rows of (i, j) and of (j, i) among b·n·n
    places       (b·n·n,) the pair of every entry, P where there is none
    powers       (P, k) the entries of A, A², ... at the real pairs
    targets_x    (R,) the rows of the real nodes in the caller's B·N
    targets_adj  (2, P) the rows of (i, j) and of (j, i) in the caller's B·N·N
    """

    x: Tensor
    adj: Tensor
    nodes: Tensor
    pairs: Tensor
    places: Tensor
    powers: Tensor
    targets_x: Tensor
    targets_adj: Tensor

    def unpack(self, packed: Tensor) -> Tensor:
        """Real pairs (P, C) to (C, b, n, n), symmetric, 0 where there is no pair."""
        entries = F.pad(packed.T, (0, 1)).index_select(1, self.places)
        return entries.view(packed.shape[1], *self.adj.shape)


def pack(dense: Tensor, pairs: Tensor) -> Tensor:
    """Entries (i, j) and (j, i) of (C, b, n, n) added up, (C, P)."""
    flat = dense.flatten(1)
    return flat.index_select(1, pairs[0]) + flat.index_select(1, pairs[1])


def split(x: Tensor, adj: Tensor, mask: Tensor, num_powers: int) -> Iterator[Graphs]:
    """The batch x (B, N, F), adj (B, N, N), mask (B, N) as a few `Graphs`, by size; adj counts as (adj + adjᵀ)/2."""
    mask = mask.bool()
    counts, order = mask.sum(dim=1).sort()
    sizes, limit = counts.tolist(), CELLS.get(x.device.type, CELLS_ELSEWHERE)
    stop = len(sizes)
    while stop and sizes[stop - 1]:
        start = max(0, stop - max(1, limit // sizes[stop - 1] ** 2))
        yield _cut(order[start:stop], sizes[stop - 1], x, adj, mask, num_powers)
        stop = start


def _cut(rows: Tensor, size: int, x: Tensor, adj: Tensor, mask: Tensor, num_powers: int) -> Graphs:
    columns = mask[rows].byte().argsort(dim=1, descending=True, stable=True)[:, :size]
    real = mask[rows].gather(1, columns)
    nodes = rows.unsqueeze(1) * mask.shape[1] + columns
    cells = nodes.unsqueeze(2) * mask.shape[1] + columns.unsqueeze(1)
    upper = (real.unsqueeze(2) & real.unsqueeze(1)).triu(1)
    adj = adj.flatten()[cells].masked_fill(~(upper | upper.mT), 0)
    adj = (adj + adj.mT) / 2

    graph, first, second = upper.nonzero(as_tuple=True)
    pairs = torch.stack([(graph * size + first) * size + second, (graph * size + second) * size + first])
    places = pairs.new_full((cells.numel(),), pairs.shape[1])
    places[pairs] = torch.arange(pairs.shape[1], device=pairs.device)
    kept = real.flatten().nonzero().squeeze(1)
    return Graphs(
        x=x.flatten(0, 1)[nodes].masked_fill(~real.unsqueeze(2), 0),
        adj=adj,
        nodes=kept,
        pairs=pairs,
        places=places,
        powers=_powers(adj, pairs, num_powers),
        targets_x=nodes.flatten()[kept],
        targets_adj=cells.flatten()[pairs],
    )


def _powers(adj: Tensor, pairs: Tensor, number: int) -> Tensor:
    if number == 0:
        return adj.new_zeros(pairs.shape[1], 0)
    powers = [adj]
    while len(powers) < number:
        powers.append(powers[-1] @ adj)
    return pack(torch.stack(powers), pairs).T / 2


def merge_nodes(like: Tensor, parts: list[tuple[Graphs, Tensor]]) -> Tensor:
    """Rows (R, F) of the parts as (B, N, F), 0 where there is no node."""
    merged = torch.zeros_like(like).flatten(0, 1)
    for graphs, rows in parts:
        merged[graphs.targets_x] = rows
    return merged.view(like.shape)


def merge_pairs(like: Tensor, parts: list[tuple[Graphs, Tensor]]) -> Tensor:
    """Pairs (P,) of the parts as (B, N, N), symmetric, 0 on the diagonal and where there is no node."""
    merged = torch.zeros_like(like).flatten()
    for graphs, pairs in parts:
        merged[graphs.targets_adj] = pairs
    return merged.view(like.shape)
