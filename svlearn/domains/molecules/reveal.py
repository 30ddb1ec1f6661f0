"""The law of one step of the masked graph diffusion: which places are decided next, and as what."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

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

    def tilt(self, gradient: TensorDict) -> "RevealTransition":
        """The law of each place tilted by the gradient in its one-hot, "atoms" (B, n, 5) and "bonds" (B, P, 5); which
        places are decided stays uniform."""
        atoms, bonds = (
            (law + gradient[name][..., : law.shape[-1]]).log_softmax(dim=-1)
            for name, law in (("atoms", self.atom_log_probs), ("bonds", self.bond_log_probs))
        )
        return RevealTransition(self.x, atoms, bonds, self.num_atoms, self.num_bonds)

    def expansion_point(self, x: TensorDict) -> TensorDict:
        """The one-hots of x_t, "atoms" (B, n, 5) and "bonds" (B, P, 5), float; "mask" as it is."""
        dtype = self.atom_log_probs.dtype
        hot = {name: nn.functional.one_hot(x[name], 1 + MASKED_ATOM).to(dtype) for name in ("atoms", "bonds")}
        return TensorDict({**hot, "mask": x["mask"]}, batch_size=x.batch_size)

    def outcomes(self, limit: int) -> tuple[TensorDict, Tensor]:
        """Every token at every place where a step may decide one; rows with fewer are filled up with x_t at -inf.

        Raises ValueError where a step decides more than one place: too many to list.
        """
        if bool((self.num_atoms + self.num_bonds > 1).any()):
            most = int((self.num_atoms + self.num_bonds).max())
            raise ValueError(f"outcomes: a step that decides {most} places has too many (the limit is {limit})")
        atoms, bonds = self._parts()
        open_ = torch.cat([part[1] & (part[3] > 0)[:, None] for part in (atoms, bonds)], dim=1)
        laws = torch.cat([self.atom_log_probs, self.bond_log_probs], dim=1)
        tokens = torch.cat([self.x["atoms"], self.x["bonds"]], dim=1)
        size, kinds = open_.sum(dim=1), laws.shape[2]
        number = int(size.max().clamp(min=1)) * kinds
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        places = open_.int().argsort(dim=1, descending=True, stable=True)[:, : number // kinds]
        possible = open_.gather(1, places)
        chosen = laws.gather(1, places[..., None].expand(-1, -1, kinds)).double() - size[:, None, None].log()
        log_probs = torch.where(possible[..., None], chosen, -math.inf).flatten(1)
        log_probs[size == 0, 0] = 0.0  # nothing to decide: it stays
        at = places.repeat_interleave(kinds, dim=1)
        written = torch.arange(kinds, device=at.device).repeat(places.shape[1]).expand_as(at)
        written = torch.where(open_.gather(1, at), written, tokens.gather(1, at))
        states = tokens[:, None].repeat(1, number, 1).scatter(2, at[..., None], written[..., None])
        num_atoms = self.x["atoms"].shape[1]
        listed = self.x[:, None].expand(-1, number).clone()
        listed["atoms"], listed["bonds"] = states[..., :num_atoms], states[..., num_atoms:]
        return listed, log_probs

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
