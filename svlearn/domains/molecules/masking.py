"""When each place of a graph is decided: the atoms first, then the bonds, each in an order drawn uniformly.

With n_max atoms at most, T = n_max + n_max (n_max - 1) / 2: a graph of n_max atoms decides exactly one place a
step, so no two places are ever drawn as if they were independent. A smaller graph idles in some steps.
"""

from functools import lru_cache

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, num_pairs, pair_mask
from svlearn.randomness import uniform_subset


def num_steps(num_atoms: int) -> int:
    """T for graphs of at most `num_atoms` atoms."""
    return num_atoms + num_pairs(num_atoms)


def num_decided(mask: Tensor, t: Tensor) -> Tensor:
    """How many atoms and bonds (B, 2) are decided at time t (B,) in graphs with atom mask (B, n)."""
    return _decided(mask.shape[1], mask.device)[t, mask.sum(dim=1)]


def num_due(mask: Tensor, t: Tensor) -> Tensor:
    """How many more of them (B, 2) are at t + 1."""
    return _due(mask.shape[1], mask.device)[t, mask.sum(dim=1)]


@lru_cache
@torch.inference_mode(mode=False)  # what is cached must serve training too
def _decided(most: int, device: torch.device) -> Tensor:
    """How many atoms and bonds are decided, (T + 1, n_max + 1, 2), by time and number of atoms."""
    t, size = torch.arange(num_steps(most) + 1)[:, None], torch.arange(most + 1)
    atoms = size * t.clamp(max=most) // most
    bonds = size * (size - 1) // 2 * (t - most).clamp(min=0) // max(1, num_pairs(most))
    return torch.stack([atoms, bonds], dim=2).to(device)


@lru_cache
@torch.inference_mode(mode=False)
def _due(most: int, device: torch.device) -> Tensor:
    return _decided(most, device).diff(dim=0)


def hide(state: TensorDict, t: Tensor, *, generator: torch.Generator | None = None) -> TensorDict:
    """The forward process from a later time to t (B,): keep a uniform subset of what is decided, mask the rest."""
    atoms, bonds = num_decided(state["mask"], t).unbind(dim=1)
    decided_atoms = state["mask"] & (state["atoms"] != MASKED_ATOM)
    decided_bonds = pair_mask(state["mask"]) & (state["bonds"] != MASKED_BOND)
    kept_atoms = uniform_subset(decided_atoms, atoms, generator=generator)
    kept_bonds = uniform_subset(decided_bonds, bonds, generator=generator)
    hidden = state.clone()
    hidden["atoms"] = torch.where(decided_atoms & ~kept_atoms, MASKED_ATOM, state["atoms"])
    hidden["bonds"] = torch.where(decided_bonds & ~kept_bonds, MASKED_BOND, state["bonds"])
    return hidden
