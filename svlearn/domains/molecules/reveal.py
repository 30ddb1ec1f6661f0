"""The law of one step of the masked graph diffusion: which places are decided next, and as what."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.domains.molecules.graph import MASKED, from_places, to_places
from svlearn.domains.molecules.masking import choose
from svlearn.randomness import inverted, uniform
from svlearn.state import concatenate, take
from svlearn.transitions import Transition


class RevealTransition(Transition):
    """Decide k_a undecided atoms and k_b undecided bonds, drawn uniformly, each by its own categorical law.

    log p(x_{t+1} | x_t) = -log C(m_a, k_a) - log C(m_b, k_b) + Σ log p(token | x_t), over the places newly decided,
    with m places undecided; -inf where x_{t+1} contradicts x_t or decides another number of places.

    x (B,) graphs; log_probs (B, L, 4), normalised, of their L = n + P places, the atoms first; numbers (B, 2), k_a
    and k_b.
    """

    def __init__(self, x: TensorDict, log_probs: Tensor, numbers: Tensor):
        self.x, self.log_probs, self.numbers = x, log_probs, numbers

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        x_next = self.x.copy()
        due = self.numbers.any(dim=0).tolist()  # a step hardly ever decides both atoms and bonds
        for (name, places, number), some in zip(self._kinds(), due):
            if some:
                chosen = choose(self.x[name] == MASKED, number, generator=generator)
                points = uniform(chosen.shape, generator, chosen.device)  # for all places, but few are read
                at = chosen.nonzero(as_tuple=True)
                tokens = inverted(self.log_probs[:, places][at].exp(), points[at].unsqueeze(1))
                x_next[name] = self.x[name].index_put(at, tokens)
        return x_next

    def log_prob(self, x_next: TensorDict) -> Tensor:
        open_, decided, possible = self._decided(x_next)
        terms = self._terms(x_next).masked_fill(~decided, 0.0).sum(dim=1)
        return torch.where(possible, terms - self._log_choices(open_), -math.inf)

    def log_ratio(self, other: Transition, x_next: TensorDict) -> Tensor:
        """Summed place by place: the choice of places cancels between two laws that decide the same number."""
        if not isinstance(other, RevealTransition):
            return super().log_ratio(other, x_next)
        open_, decided, possible = self._decided(x_next)
        terms = self._terms(x_next)
        ratio = torch.where(terms == -math.inf, terms, terms - other._terms(x_next)).masked_fill(~decided, 0.0).sum(1)
        if other.x is self.x and other.numbers is self.numbers:  # as of a tilted law: it reaches the same states
            return torch.where(possible, ratio, -math.inf)
        other_open, _, other_possible = other._decided(x_next)
        if not (torch.equal(self.numbers, other.numbers) and torch.equal(open_, other_open)):
            ratio = ratio + other._log_choices(other_open) - self._log_choices(open_)
        return torch.where(possible, torch.where(other_possible, ratio, math.inf), -math.inf)

    def tilt(self, gradient: TensorDict) -> "RevealTransition":
        """The law of each place tilted by the gradient in its one-hot, "atoms" (B, n, 5) and "bonds" (B, P, 5); which
        places are decided stays uniform."""
        slopes = to_places(gradient)[..., : self.log_probs.shape[-1]]
        return RevealTransition(self.x, (self.log_probs + slopes).log_softmax(dim=-1), self.numbers)

    def expansion_point(self, x: TensorDict) -> TensorDict:
        """The one-hots of x_t, "atoms" (B, n, 5) and "bonds" (B, P, 5), float; "mask" as it is."""
        return from_places(nn.functional.one_hot(to_places(x), 1 + MASKED).to(self.log_probs.dtype), x)

    def outcomes(self, limit: int) -> tuple[TensorDict, Tensor]:
        """Every token at every place where a step may decide one; rows with fewer are filled up with x_t at -inf.

        Raises ValueError where a step decides more than one place: too many to list.
        """
        most = int(self.numbers.sum(dim=1).max())
        if most > 1:
            raise ValueError(f"outcomes: a step that decides {most} places has too many (the limit is {limit})")
        tokens, kinds = to_places(self.x), self.log_probs.shape[2]
        due = [(number > 0)[:, None].expand_as(self.x[name]) for name, _, number in self._kinds()]
        open_ = (tokens == MASKED) & torch.cat(due, dim=1)
        size = open_.sum(dim=1)
        number = int(size.max().clamp(min=1)) * kinds
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        places = open_.int().argsort(dim=1, descending=True, stable=True)[:, : number // kinds]
        possible = open_.gather(1, places)
        chosen = self.log_probs.gather(1, places[..., None].expand(-1, -1, kinds)).double() - size[:, None, None].log()
        log_probs = torch.where(possible[..., None], chosen, -math.inf).flatten(1)
        log_probs[size == 0, 0] = 0.0  # nothing to decide: it stays
        at = places.repeat_interleave(kinds, dim=1)
        written = torch.arange(kinds, device=at.device).repeat(places.shape[1]).expand_as(at)
        written = torch.where(open_.gather(1, at), written, tokens.gather(1, at))
        states = tokens[:, None].repeat(1, number, 1).scatter(2, at[..., None], written[..., None])
        listed = self.x[:, None].expand(-1, number).clone()
        for name, part, _ in self._kinds():
            listed[name] = states[..., part]
        return listed, log_probs

    def __getitem__(self, index: Any) -> "RevealTransition":
        return RevealTransition(*(take(each, index) for each in (self.x, self.log_probs, self.numbers)))

    @classmethod
    def cat(cls, parts: Sequence["RevealTransition"]) -> "RevealTransition":
        return cls(*(concatenate(fields) for fields in zip(*((p.x, p.log_probs, p.numbers) for p in parts))))

    def _kinds(self) -> Iterator[tuple[str, slice, Tensor]]:
        """(name, which of the places, numbers to decide (B,)) of atoms and of bonds."""
        num_atoms = self.x["atoms"].shape[1]
        return zip(("atoms", "bonds"), (slice(num_atoms), slice(num_atoms, None)), self.numbers.unbind(dim=1))

    def _decided(self, x_next: TensorDict) -> tuple[Tensor, Tensor, Tensor]:
        """The open places and those newly decided, (B, L), and whether this step can reach x_next (B,)."""
        tokens, after = to_places(self.x), to_places(x_next)
        open_ = tokens == MASKED
        decided = open_ & (after != MASKED)
        agrees = (open_ | (after == tokens)).all(dim=1)
        return open_, decided, agrees & (self._count(decided) == self.numbers).all(dim=1)

    def _terms(self, x_next: TensorDict) -> Tensor:
        """The log-probabilities of all tokens of x_next, masked or not, (B, L), float64."""
        tokens = to_places(x_next).clamp(max=self.log_probs.shape[-1] - 1)
        return self.log_probs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).double()

    def _log_choices(self, open_: Tensor) -> Tensor:
        """log C(m_a, k_a) + log C(m_b, k_b), (B,), of the open places (B, L)."""
        n, k = self._count(open_).double(), self.numbers.double()
        return (torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)).sum(dim=1)

    def _count(self, places: Tensor) -> Tensor:
        """How many of the atoms and of the bonds, (B, 2), from (B, L)."""
        return torch.stack([places[:, part].sum(dim=1) for _, part, _ in self._kinds()], dim=1)
