"""The state of a molecule that is being generated: atoms, bonds and which atoms there are.

A batch of B graphs of at most n atoms is a `TensorDict` with batch size (B,):

    atoms  (B, n) long  0 ... A-1: a symbol of `ATOMS`; `MASKED_ATOM`: not decided yet
    bonds  (B, P) long  0 ... 3: no, single, double, triple bond; `MASKED_BOND`: not decided yet
    mask   (B, n) bool  which atoms exist; places of atoms that do not exist hold 0

Each unordered pair of atoms is one place (P = n (n - 1) / 2, ordered as `torch.triu_indices`), so a bond is
counted once in every probability. Hydrogens are implicit, aromatic rings are kekulised.
"""

from functools import lru_cache
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.randomness import multinomial
from svlearn.transitions import widened

ATOMS = ("C", "N", "O", "F")
VALENCES = (4, 3, 2, 1)
MASKED_ATOM = len(ATOMS)
BOND_ORDERS = (0, 1, 2, 3)
MASKED_BOND = len(BOND_ORDERS)
MASKED = MASKED_ATOM  # there are as many atoms as bonds, so that one number masks either


@lru_cache
@torch.inference_mode(mode=False)  # what is cached must serve training too
def pair_indices(num_atoms: int) -> Tensor:
    """The two atoms of every pair, (2, P), first < second."""
    return torch.triu_indices(num_atoms, num_atoms, offset=1)


@lru_cache
@torch.inference_mode(mode=False)  # what is cached must serve training too
def pair_matrix(num_atoms: int) -> Tensor:
    """The pair of every two atoms, (n, n); the diagonal holds P, one past the last pair."""
    first, second = pair_indices(num_atoms)
    matrix = torch.full((num_atoms, num_atoms), len(first))
    matrix[first, second] = matrix[second, first] = torch.arange(len(first))
    return matrix


def num_pairs(num_atoms: int) -> int:
    """P = n (n - 1) / 2."""
    return num_atoms * (num_atoms - 1) // 2


def graph_state(atoms: Tensor, bonds: Tensor, mask: Tensor) -> TensorDict:
    """Build the state from atoms (B, n), bonds (B, P) and mask (B, n)."""
    return TensorDict({"atoms": atoms, "bonds": bonds, "mask": mask}, batch_size=[len(atoms)], device=atoms.device)


def pair_mask(mask: Tensor) -> Tensor:
    """Which pairs join two atoms that exist: (B, n) bool to (B, P) bool."""
    first, second = pair_indices(mask.shape[1]).to(mask.device)
    return mask[:, first] & mask[:, second]


def to_dense(pairs: Tensor, num_atoms: int, diagonal: float = 0) -> Tensor:
    """Spread a feature of pairs (B, P, ...) over both orders of two atoms: (B, n, n, ...)."""
    filler = pairs.new_full((len(pairs), 1, *pairs.shape[2:]), diagonal)
    places = pair_matrix(num_atoms).to(pairs.device).flatten()
    return torch.cat([pairs, filler], dim=1).index_select(1, places).unflatten(1, (num_atoms, num_atoms))


def draw_mask(
    size_weights: Tensor, batch_size: int, sizes: Any = None, *, generator: torch.Generator | None = None
) -> Tensor:
    """Which atoms exist, (B, n_max), of graphs of the given sizes (B,), or of drawn ones.

    size_weights (n_max,): unnormalised probabilities of 1 ... n_max atoms. Raises ValueError for another size.
    """
    most, device = len(size_weights), size_weights.device
    if sizes is None:
        sizes = 1 + multinomial(widened(size_weights), batch_size, generator)
    else:
        sizes = torch.as_tensor(sizes, device=device)
        if bool(((sizes < 1) | (sizes > most)).any()):
            raise ValueError(f"condition: expected 1 to {most} atoms, got {sizes.tolist()}")
    return torch.arange(most, device=device) < sizes.unsqueeze(1)


def permuted(state: TensorDict, order: Tensor) -> TensorDict:
    """Renumber the atoms: atom k of the result is atom order[b, k] of graph b; order is (B, n)."""
    num_atoms = order.shape[1]
    first, second = pair_indices(num_atoms).to(order.device)
    pairs = pair_matrix(num_atoms).to(order.device)[order[:, first], order[:, second]]
    return graph_state(state["atoms"].gather(1, order), state["bonds"].gather(1, pairs), state["mask"].gather(1, order))
