"""The law of one step of the masked graph diffusion: which places are decided next, and as what."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.domains.molecules.graph import MASKED, from_places, to_places
from svlearn.domains.molecules.masking import choose
from svlearn.randomness import categorical, inverted, uniform
from svlearn.state import concatenate, take
from svlearn.transitions import HALVES, Transition, log_normalized


class RevealTransition(Transition):
    """Decide k_a undecided atoms and k_b undecided bonds, drawn uniformly, each by its own categorical law.

    log p(x_{t+1} | x_t) = -log C(m_a, k_a) - log C(m_b, k_b) + Σ log p(token | x_t), over the places newly decided,
    with m places undecided; -inf where x_{t+1} contradicts x_t or decides another number of places.

    Of graphs x_t by their L = n + P places, the atoms first: tokens (B, L), as `to_places` gives them, mask (B, n) of
    the atoms that there are, log_probs (B, L, 4), normalised; numbers (B, 2), k_a and k_b, no more for `sample`
    than are undecided.
    """

    def __init__(self, tokens: Tensor, mask: Tensor, log_probs: Tensor, numbers: Tensor):
        if log_probs.dtype in HALVES:
            log_probs = log_normalized(log_probs)
        self.tokens, self.mask, self.log_probs, self.numbers = tokens, mask, log_probs, numbers

    def sample(self, *, generator: torch.Generator | None = None) -> TensorDict:
        return from_places(self._decide(self.tokens.clone(), 1, generator), self.mask)

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> TensorDict:
        copies = len(parents) // len(self.tokens)
        return from_places(self._decide(take(self.tokens, parents), copies, generator), take(self.mask, parents))

    def _decide(self, tokens: Tensor, copies: int, generator: torch.Generator | None) -> Tensor:
        """Decide in the copies (B · copies, L) of each row's places, side by side; they are written to, and returned.

        Where every row decides one place of a kind, as in all steps of graphs of n_max atoms, place and token are drawn
        by one uniform number a copy: each undecided place has the same share of [0, 1), cut by its tokens' law.
        """
        least, most = (each.tolist() for each in torch.aminmax(self.numbers, dim=0))
        for kind, part in enumerate(self._parts()):
            if most[kind] == 0:
                continue
            open_, probs, drawn = self.tokens[:, part] == MASKED, self.log_probs[:, part].exp(), tokens[:, part]
            if least[kind] == most[kind] == 1:
                shares = (probs * open_.unsqueeze(2)).flatten(1)
                at = inverted(shares, uniform((len(shares), copies), generator, shares.device)).view(-1, 1)
                number = probs.shape[2]
                drawn.scatter_(1, at.div(number, rounding_mode="floor"), at.remainder(number))
            else:
                count = self.numbers[:, kind].repeat_interleave(copies)
                row, place = choose(drawn == MASKED, count, generator=generator).nonzero(as_tuple=True)
                of_parent = row.div(copies, rounding_mode="floor")
                drawn.index_put_((row, place), categorical(probs[of_parent, place], generator))
        return tokens

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
        if other.tokens is self.tokens and other.numbers is self.numbers:  # as of a tilted law: it reaches the same
            return torch.where(possible, ratio, -math.inf)
        other_open, _, other_possible = other._decided(x_next)
        if not (torch.equal(self.numbers, other.numbers) and torch.equal(open_, other_open)):
            ratio = ratio + other._log_choices(other_open) - self._log_choices(open_)
        return torch.where(possible, torch.where(other_possible, ratio, math.inf), -math.inf)

    def tilt(self, gradient: TensorDict) -> "RevealTransition":
        """The law of each place tilted by the gradient in its one-hot, "atoms" (B, n, 5) and "bonds" (B, P, 5); which
        places are decided stays uniform."""
        slopes = to_places(gradient)[..., : self.log_probs.shape[-1]]
        return RevealTransition(self.tokens, self.mask, log_normalized(self.log_probs + slopes), self.numbers)

    def expansion_point(self, x: TensorDict) -> TensorDict:
        """The one-hots of x_t, "atoms" (B, n, 5) and "bonds" (B, P, 5), float; "mask" as it is."""
        return from_places(nn.functional.one_hot(to_places(x), 1 + MASKED).to(self.log_probs.dtype), x["mask"])

    def outcomes(self, limit: int) -> tuple[TensorDict, Tensor]:
        """Every token at every place where a step may decide one; rows with fewer are filled up with x_t at -inf.

        Raises ValueError where a step decides more than one place: too many to list.
        """
        most = int(self.numbers.sum(dim=1).max())
        if most > 1:
            raise ValueError(f"outcomes: a step that decides {most} places has too many (the limit is {limit})")
        tokens, kinds = self.tokens, self.log_probs.shape[2]
        due = [(self.numbers[:, [k]] > 0).expand_as(tokens[:, part]) for k, part in enumerate(self._parts())]
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
        return from_places(states, self.mask[:, None].expand(-1, number, -1)), log_probs

    def __getitem__(self, index: Any) -> "RevealTransition":
        return RevealTransition(*(take(each, index) for each in self._fields()))

    @classmethod
    def cat(cls, parts: Sequence["RevealTransition"]) -> "RevealTransition":
        return cls(*(concatenate(fields) for fields in zip(*(part._fields() for part in parts))))

    def _fields(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.tokens, self.mask, self.log_probs, self.numbers

    def _parts(self) -> tuple[slice, slice]:
        """Which of the places are atoms, and which bonds."""
        num_atoms = self.mask.shape[1]
        return slice(num_atoms), slice(num_atoms, None)

    def _decided(self, x_next: TensorDict) -> tuple[Tensor, Tensor, Tensor]:
        """The open places and those newly decided, (B, L), and whether this step can reach x_next (B,)."""
        tokens, after = self.tokens, to_places(x_next)
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
        return torch.stack([places[:, part].sum(dim=1) for part in self._parts()], dim=1)
