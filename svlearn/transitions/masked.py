"""The law of a step of a masked diffusion: which masked places are unmasked, and as which tokens."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from svlearn.arguments import integer
from svlearn.randomness import categorical, inverted, uniform, uniform_subset
from svlearn.state import State, concatenate, flattened, take
from svlearn.transitions.categorical import log_normalized
from svlearn.transitions.relaxed import categorical_kl, gumbel_softmax, relative_entropy
from svlearn.transitions.transition import Transition, kind_of, total

FEW = 2**14  # weights of one row that one number is drawn among


class MaskedTransition(Transition):
    """Unmask some masked places of x_t, each by a categorical law of its own; every other place keeps its token.

    number k: k of the m masked places, drawn uniformly, or all where fewer are masked:

        log p(x_{t+1} | x_t) = -log C(m, k) + Σ log p(token | x_t), over the places newly unmasked.

    probability p: each masked place alone, with probability p, as a schedule of noise says:

        log p(x_{t+1} | x_t) = Σ (log p + log p(token | x_t)) over them + (how many stay masked) log(1 - p).

    -inf where x_{t+1} contradicts x_t or has another number of places unmasked. The mask absorbs: a place is never
    unmasked as the mask token, and one that is not masked stays, so given places and padding need no more than to hold
    a token.

    x (B, ...) long, of places in any shape; logits (B, ..., V), unnormalised, -inf for what cannot be, normalised in
    float32 at least; mask_token: below V, or not among the V. number: an int or (B,) long; probability: a float or
    (B,). A state with several leaves of places, as a graph has atoms and bonds, takes a `FieldTransition` of such laws.
    Raises TypeError for logits that are no floats and tokens that are no ids, ValueError for other shapes, for both or
    neither of number and probability, and for ones out of range.
    """

    def __init__(
        self,
        x: Tensor,
        logits: Tensor,
        mask_token: int,
        *,
        number: int | Tensor | None = None,
        probability: float | Tensor | None = None,
    ):
        if not isinstance(x, Tensor) or x.dtype != torch.long:
            raise TypeError(f"x: expected token ids (B, ...), long, got {kind_of(x)}")
        if not isinstance(logits, Tensor) or not logits.is_floating_point():
            raise TypeError(f"logits: expected a float tensor (B, ..., V), got {kind_of(logits)}")
        if x.dim() == 0 or logits.shape[:-1] != x.shape:
            shapes = f"{tuple(x.shape)} and {tuple(logits.shape)}"
            raise ValueError(f"logits: expected (B, ..., V) with tokens x (B, ...), got {shapes}")
        if (number is None) == (probability is None):
            actual = "neither" if number is None else "both"
            raise ValueError(f"number, probability: expected one of them, got {actual}")
        self.mask_token = integer(mask_token, "mask_token", 0)
        self.tokens, self.shape = flattened(x), x.shape[1:]
        logits = logits.reshape(*self.tokens.shape, -1)
        if self.mask_token < logits.shape[-1]:
            absorbing = torch.arange(logits.shape[-1], device=logits.device) == self.mask_token
            logits = logits.masked_fill(absorbing, -math.inf)
        self.log_probs = log_normalized(logits)
        self.number = self.probability = None
        if number is not None:
            of_rows = self._of_rows(number, "number", torch.long)
            if bool((of_rows < 0).any()):
                raise ValueError(f"number: expected at least 0, got {int(of_rows.min())}")
            self.number = torch.minimum(of_rows, self.masked.sum(dim=1))
        if probability is not None:
            self.probability = self._of_rows(probability, "probability", torch.float64)
            if not bool(((self.probability >= 0) & (self.probability <= 1)).all()):
                raise ValueError("probability: expected numbers from 0 to 1, got others")

    @property
    def masked(self) -> Tensor:
        """Which places are masked, (B, L), L = all of them in one row."""
        return self.tokens == self.mask_token

    @property
    def share(self) -> Tensor:
        """With which probability the step unmasks each masked place, (B,), float64; 0 where none is masked."""
        if self.probability is not None:
            return self.probability
        return cast(Tensor, self.number).double() / self.masked.sum(dim=1).clamp(min=1)

    def completed(self) -> "MaskedTransition":
        """The law that unmasks all places at once: what the logits say of x_T, place by place."""
        return self._of(self.tokens, self.log_probs, self.masked.sum(dim=1), None)

    def most_probable(self) -> Tensor:
        """x_t with the most probable token at each masked place, (B, ...)."""
        return self._shaped(torch.where(self.masked, self.log_probs.argmax(dim=-1), self.tokens))

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return self._shaped(self._unmask(self.tokens.clone(), 1, generator))

    def sample_each(self, parents: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self._shaped(self._unmask(take(self.tokens, parents), len(parents) // len(self.tokens), generator))

    def log_prob(self, x_next: Tensor) -> Tensor:
        unmasked, log_choice = self._unmasked(x_next)
        return log_choice + self._terms(x_next).masked_fill(~unmasked, 0.0).sum(dim=1)

    def log_ratio(self, other: Transition, x_next: Tensor) -> Tensor:
        """Summed place by place: the choice of places cancels between two laws that make it alike."""
        if not isinstance(other, MaskedTransition) or other.mask_token != self.mask_token:
            return super().log_ratio(other, x_next)
        unmasked, choice = self._unmasked(x_next)
        alike = other.number is self.number and other.probability is self.probability
        same = other.tokens is self.tokens and alike  # as of a tilted law: it reaches the same
        theirs, others = (unmasked, choice) if same else other._unmasked(x_next)
        terms = self._terms(x_next).masked_fill(~unmasked, 0.0)
        ratio = torch.where(terms == -math.inf, terms, terms - other._terms(x_next).masked_fill(~theirs, 0.0)).sum(1)
        possible = (choice > -math.inf) & (ratio > -math.inf)
        if same:
            return torch.where(possible, ratio, -math.inf)
        ratio = ratio + torch.where(choice == others, 0.0, choice - others)
        return torch.where(possible, torch.where(others > -math.inf, ratio, math.inf), -math.inf)

    def outcomes(self, limit: int) -> tuple[Tensor, Tensor]:
        """Every token that some row can take, at every set of places that a step may unmask; a row that can reach
        fewer is filled up with x_t at -inf."""
        counts = self.masked.sum(dim=1)
        slots = int(counts.max())
        places = self.masked.int().argsort(dim=1, descending=True, stable=True)[:, :slots]
        laws = self.log_probs.gather(1, places[..., None].expand(-1, -1, self.log_probs.shape[2])).double()
        some = (laws > -math.inf) & (torch.arange(slots, device=places.device) < counts[:, None])[..., None]
        tokens = some.any(dim=0).any(dim=0).nonzero().flatten().tolist()
        sizes = self._sizes(counts)
        still = None  # rows that unmask nothing, beside others that do, need no column of their own
        if self.number is not None and sizes[0] == 0 and len(sizes) > 1:
            still, sizes = self.number == 0, sizes[1:]
        number = sum(math.comb(slots, size) * len(tokens) ** size for size in sizes)
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        states, log_probs = [], []
        for size in sizes:
            pairs = itertools.product(
                itertools.combinations(range(slots), size), itertools.product(tokens, repeat=size)
            )
            chosen = torch.tensor(list(pairs), dtype=torch.long, device=places.device)  # (n, 2, size)
            at, written = chosen.unbind(dim=1)
            terms = laws[:, at, written].sum(dim=2) + self._log_choice(torch.full_like(counts, size))[:, None]
            possible = (at < counts[:, None, None]).all(dim=2) & (terms > -math.inf)
            changed = self.tokens[:, None].repeat(1, len(at), 1)
            changed.scatter_(2, places[:, at], written.expand(len(counts), -1, -1))
            states.append(torch.where(possible[..., None], changed, self.tokens[:, None]))
            log_probs.append(torch.where(possible, terms, -math.inf))
        listed, listed_log_probs = torch.cat(states, dim=1), torch.cat(log_probs, dim=1)
        if still is not None:
            listed[still, 0], listed_log_probs[still, 0] = self.tokens[still], 0.0
        return listed.view(len(counts), number, *self.shape), listed_log_probs

    def tilt(self, gradient: Tensor) -> "MaskedTransition":
        """The law of each place tilted by the gradient (B, ..., V or more) in its one-hot; which places are unmasked
        stays as it is."""
        slopes = gradient.reshape(*self.tokens.shape, -1)[..., : self.log_probs.shape[-1]]
        return self._of(self.tokens, log_normalized(self.log_probs + slopes), self.number, self.probability)

    def expansion_point(self, x: State) -> Tensor:
        """The one-hot of x_t, (B, ..., N), float, of the V tokens and the mask."""
        size = max(self.log_probs.shape[-1], 1 + self.mask_token)
        return nn.functional.one_hot(x, size).to(self.log_probs.dtype)

    def kl(self, other: Transition) -> Tensor:
        """That of the choice of places, and that of the tokens of each masked place times how probably it is unmasked.

        Raises TypeError for a law of another kind, or one by a number where the other is by a probability.
        """
        if not isinstance(other, MaskedTransition) or other.mask_token != self.mask_token:
            return super().kl(other)
        if (self.number is None) != (other.number is None):
            return super().kl(other)
        masked, size = self.masked, self.masked.sum(dim=1)
        if self.number is None or other.number is None:
            p, q = cast(Tensor, self.probability), cast(Tensor, other.probability)
            each = relative_entropy(p, q) + relative_entropy(1 - p, 1 - q)
            share, choice = p, torch.where(size > 0, size * each, 0.0)  # 0 · inf is none here
        else:
            share = self.share
            choice = torch.where(self.number == other.number, 0.0, math.inf)
        laws = [each.masked_fill(~masked[..., None], 0.0) for each in (self.log_probs, other.log_probs)]
        tokens = torch.where(share > 0, share * total(categorical_kl(*laws)), 0.0)
        return torch.where((self.tokens == other.tokens).all(dim=1), choice + tokens, math.inf)

    def rsample_relaxed(self, x: State, temperature: float, *, generator: torch.Generator | None = None) -> Tensor:
        """x_t, (B, ..., N), with the Gumbel-softmax of its tokens at each place that is newly unmasked.

        Which places these are does not depend on what the network says of tokens: they are drawn, not relaxed, so that
        each place of a soft state is either the mask or shares of tokens.
        """
        soft = cast(Tensor, x).reshape(*self.tokens.shape, -1)
        chosen = self._choice(self.tokens, 1, generator)
        shares = gumbel_softmax(self.log_probs, temperature, generator).to(soft.dtype)
        shares = nn.functional.pad(shares, (0, soft.shape[-1] - shares.shape[-1]))
        return torch.where(chosen[..., None], shares, soft).view(x.shape)

    def __getitem__(self, index: Any) -> "MaskedTransition":
        return self._of(*(take(each, index) for each in self._fields()))

    @classmethod
    def cat(cls, parts: Sequence["MaskedTransition"]) -> "MaskedTransition":
        return parts[0]._of(*(concatenate(fields) for fields in zip(*(part._fields() for part in parts))))

    def _of(
        self, tokens: Tensor, log_probs: Tensor, number: Tensor | None, probability: Tensor | None
    ) -> "MaskedTransition":
        law = type(self).__new__(type(self))
        law.mask_token, law.shape = self.mask_token, self.shape
        law.tokens, law.log_probs, law.number, law.probability = tokens, log_probs, number, probability
        return law

    def _fields(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return self.tokens, self.log_probs, self.number, self.probability

    def _of_rows(self, entries: Any, name: str, dtype: torch.dtype) -> Tensor:
        size, device = len(self.tokens), self.tokens.device
        numbers = torch.as_tensor(entries, device=device)
        if dtype == torch.long and (numbers.is_floating_point() or numbers.dtype == torch.bool):
            raise TypeError(f"{name}: expected whole numbers, got {kind_of(entries)}")
        if numbers.shape not in ((), (size,)):
            raise ValueError(f"{name}: expected a number or shape ({size},), got {tuple(numbers.shape)}")
        return numbers.to(dtype).expand(size)

    def _shaped(self, tokens: Tensor) -> Tensor:
        return tokens.view(len(tokens), *self.shape)

    def _unmask(self, tokens: Tensor, copies: int, generator: torch.Generator | None) -> Tensor:
        """Unmask in the copies (B · copies, L) of each row's places, side by side; they are written to, and returned.

        Where every row unmasks one place, place and token are drawn by one uniform number a copy: each masked place has
        the same share of [0, 1), cut by its tokens' law.
        """
        if self.number is not None:
            number, size = self.number, self.log_probs.shape[2]
            least, most = (int(each) for each in torch.aminmax(number))
            if most == 0:
                return tokens
            if least == most == 1 and self.tokens.shape[1] * size <= FEW:
                weights = (self.log_probs.exp() * self.masked.unsqueeze(2)).flatten(1)
                at = inverted(weights, uniform((len(weights), copies), generator, weights.device)).view(-1, 1)
                return tokens.scatter_(1, at.div(size, rounding_mode="floor"), at.remainder(size))
        row, place = self._choice(tokens, copies, generator).nonzero(as_tuple=True)
        laws = self.log_probs[row.div(copies, rounding_mode="floor"), place]
        return tokens.index_put_((row, place), categorical(laws.exp(), generator))

    def _choice(self, tokens: Tensor, copies: int, generator: torch.Generator | None) -> Tensor:
        """Draw which places are unmasked in the copies (B · copies, L) of each row, (B · copies, L)."""
        masked = tokens == self.mask_token
        if self.number is not None:
            return uniform_subset(masked, self.number.repeat_interleave(copies), generator=generator)
        shares = cast(Tensor, self.probability).repeat_interleave(copies)[:, None]
        return masked & (uniform(tokens.shape, generator, tokens.device) < shares)

    def _unmasked(self, x_next: Tensor) -> tuple[Tensor, Tensor]:
        """The places newly unmasked, (B, L), and the log-probability that it is these, (B,), float64; -inf where x_next
        contradicts x_t."""
        after, masked = flattened(x_next), self.masked
        unmasked = masked & (after != self.mask_token)
        agrees = (masked | (after == self.tokens)).all(dim=1)
        return unmasked, torch.where(agrees, self._log_choice(unmasked.sum(dim=1)), -math.inf)

    def _terms(self, x_next: Tensor) -> Tensor:
        """The log-probabilities of all tokens of x_next, masked or not, (B, L), float64; -inf of what is no token."""
        tokens = flattened(x_next)
        legal = (tokens >= 0) & (tokens < self.log_probs.shape[-1])
        terms = self.log_probs.gather(-1, torch.where(legal, tokens, 0).unsqueeze(-1)).squeeze(-1)
        return torch.where(legal, terms, -math.inf).double()

    def _log_choice(self, unmasked: Tensor) -> Tensor:
        """The log-probability that so many places (B,) are unmasked, and these and no others, (B,), float64."""
        masked = self.masked.sum(dim=1)
        if self.probability is not None:
            some = torch.xlogy(unmasked, self.probability)
            return some + torch.special.xlog1py(masked - unmasked, -self.probability)
        n, k = masked.double(), cast(Tensor, self.number).double()
        choices = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        return torch.where(unmasked == k, -choices, -math.inf)

    def _sizes(self, masked: Tensor) -> list[int]:
        """How many places a step may unmask in some row, in order, of rows with so many masked (B,)."""
        if self.number is not None:
            return self.number.unique().tolist()
        p = cast(Tensor, self.probability)
        if bool(((p == 0) | (p == 1)).all()):
            return torch.where(p == 1, masked, 0).unique().tolist()
        return list(range(int(masked.max()) + 1))
