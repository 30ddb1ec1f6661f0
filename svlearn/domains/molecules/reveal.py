"""The law of one step of the masked graph diffusion: which places are decided next, and as what."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, pair_mask
from svlearn.domains.molecules.masking import choose
from svlearn.state import concatenate
from svlearn.transitions import Transition


class RevealTransition(Transition):
    """Decide k_a undecided atoms and k_b undecided bonds, drawn uniformly, each by its own categorical law.

    log p(x_{t+1} | x_t) = -log C(m_a, k_a) - log C(m_b, k_b) + Σ log p(token | x_t), over the places newly decided,
    with m places undecided; -inf where x_{t+1} contradicts x_t or decides another number of places.

    x (B,) graphs; atom_log_probs (B, n, 4) and bond_log_probs (B, P, 4), normalised; num_atoms, num_bonds (B,).
    """

    def __init__(
        self, x: TensorDict, atom_log_probs: Tensor, bond_log_probs: Tensor, num_atoms: Tensor, num_bonds: Tensor
    ):
        self.x = x
        self.atom_log_probs, self.bond_log_probs = atom_log_probs, bond_log_probs
        self.num_atoms, self.num_bonds = num_atoms, num_bonds

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        x_next = self.x.clone()
        for name, mask, log_probs, number in self._parts():
            places = choose(mask, number, generator=generator)
            tokens = torch.multinomial(log_probs.exp().flatten(0, 1), 1, generator=generator).view_as(mask)
            x_next[name] = torch.where(places, tokens, self.x[name])
        return x_next

    def log_prob(self, x_next: TensorDict) -> Tensor:
        total = torch.zeros(len(self.x), dtype=torch.float64, device=self.num_atoms.device)
        for name, mask, log_probs, number in self._parts():
            decided, terms, possible = self._decided(name, mask, log_probs, number, x_next)
            orders = _log_binomial(mask.sum(dim=1), number)
            total = total + torch.where(possible, terms.masked_fill(~decided, 0.0).sum(1) - orders, -math.inf)
        return total

    def log_ratio(self, other: Transition, x_next: TensorDict) -> Tensor:
        """Summed place by place: the choice of places cancels between two laws that decide the same number."""
        if not isinstance(other, RevealTransition):
            return super().log_ratio(other, x_next)
        total = torch.zeros(len(self.x), dtype=torch.float64, device=self.num_atoms.device)
        for (name, mask, own, number), (_, other_mask, others, other_number) in zip(self._parts(), other._parts()):
            decided, terms, possible = self._decided(name, mask, own, number, x_next)
            _, other_terms, other_possible = other._decided(name, other_mask, others, other_number, x_next)
            gaps = torch.where(terms == -math.inf, terms, terms - other_terms).masked_fill(~decided, 0.0).sum(1)
            orders = _log_binomial(other_mask.sum(1), other_number) - _log_binomial(mask.sum(1), number)
            ratio = torch.where(other_possible, gaps + orders, math.inf)
            total = total + torch.where(possible, ratio, -math.inf)
        return total

    def __getitem__(self, index: Any) -> "RevealTransition":
        return RevealTransition(*(part[index] for part in self._fields()))

    @classmethod
    def cat(cls, parts: Sequence["RevealTransition"]) -> "RevealTransition":
        return cls(*(concatenate(fields) for fields in zip(*(part._fields() for part in parts))))

    def _fields(self) -> tuple:
        return self.x, self.atom_log_probs, self.bond_log_probs, self.num_atoms, self.num_bonds

    def _parts(self):
        """(name, undecided places, log-probabilities, number to decide) of atoms and of bonds."""
        atoms = (self.x["atoms"] == MASKED_ATOM) & self.x["mask"]
        bonds = (self.x["bonds"] == MASKED_BOND) & pair_mask(self.x["mask"])
        return (
            ("atoms", atoms, self.atom_log_probs, self.num_atoms),
            ("bonds", bonds, self.bond_log_probs, self.num_bonds),
        )

    def _decided(self, name: str, mask: Tensor, log_probs: Tensor, number: Tensor, x_next: TensorDict):
        """The newly decided places (B, L), the log-probabilities of all tokens there, float64, and whether x_next is
        a state that this step can reach (B,)."""
        tokens = x_next[name]
        masked = log_probs.shape[-1]  # the masked token is one past the last
        decided = mask & (tokens != masked)
        terms = log_probs.gather(-1, tokens.clamp(max=masked - 1).unsqueeze(-1)).squeeze(-1).double()
        agrees = (mask | (tokens == self.x[name])).all(dim=1)
        return decided, terms, agrees & (decided.sum(dim=1) == number)


def _log_binomial(n: Tensor, k: Tensor) -> Tensor:
    n, k = n.double(), k.double()
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
