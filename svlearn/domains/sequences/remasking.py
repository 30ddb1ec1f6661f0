"""Masked diffusion that masks letters again on its way, so that they can be mended: ReMDM (arXiv 2503.00307)."""

import math
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import expect, real
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.randomness import uniform
from svlearn.state import State
from svlearn.transitions import CategoricalTransition, MaskedTransition, Transition

KINDS = ("cap", "rescale")


def remasking_probabilities(shares: Tensor, rate: float, kind: str) -> tuple[Tensor, Tensor]:
    """σ_t, that an unmasked place is masked again, and (a_{t+1} - (1 - σ_t) a_t)/(1 - a_t), that a masked one is
    unmasked, (T,) each, of the shares a (T + 1,) of the schedule, which these steps keep.

    kind "cap": σ_t = rate, or the largest that may be, min(1, (1 - a_{t+1})/a_t), where that is less; "rescale": rate
    times the largest. At the last step σ is 0. Raises ValueError for another kind and a rate outside [0, 1].
    """
    rate = real(rate, "rate", 0, 1)
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    most = ((1 - shares[1:]) / shares[:-1]).clamp(max=1.0)  # at a_0 = 0 nothing is unmasked that could be masked
    again = rate * most if kind == "rescale" else most.clamp(max=rate)
    unmasked = (shares[1:] - (1 - again) * shares[:-1]) / (1 - shares[:-1])
    unmasked[-1] = 1.0
    return again, unmasked.clamp(0.0, 1.0)


class RemaskingTransition(CategoricalTransition):
    """The law of a step that may mask a letter again. It is not relaxed: a letter that stays would pass no gradient on
    to the step that drew it."""

    def rsample_relaxed(self, x: State, temperature: float, *, generator: torch.Generator | None = None) -> Tensor:
        return Transition.rsample_relaxed(self, x, temperature, generator=generator)


class RemaskingDiffusion(MaskedDiffusion):
    """A masked diffusion whose steps also mask again: each place moves by a law of its own over letters and the mask.

    Masked at t: unmasked with the probability that `remasking_probabilities` gives, by the network's letters. Unmasked:
    masked again with probability σ_t; the places that are fixed never. How many are masked at t has the law that it has
    in the reference, whose network and schedule it shares; a step is a `CategoricalTransition` over V + 1.

    A state is finished at T alone. `noise` goes back from T only: what a place was before a later mask is not told.
    Raises ValueError for a reference of "one_place", and as `remasking_probabilities`; a condition for each sample does
    too, since its places could not be told from others: name them by `fixed` of the reference.
    """

    remasked: Tensor

    def __init__(self, reference: MaskedDiffusion, rate: float = 0.05, kind: str = "cap"):
        expect(reference, MaskedDiffusion, "reference")
        if reference.schedule == "one_place":
            raise ValueError("reference: expected one with a share for each time, got 'one_place'; see with_steps")
        (fixed,) = reference.alphabet.decode(reference.fixed[None])
        parts = reference.network, reference.alphabet, reference.length, reference.num_steps, reference.schedule
        super().__init__(*parts, fixed=fixed)
        self.rate, self.kind = rate, kind
        again, unmasked = remasking_probabilities(self.shares, rate, kind)
        self.register_buffer("remasked", again)
        self.probabilities = unmasked
        self.to(reference.device).train(reference.training)

    def with_steps(self, num_steps: int | None = None, schedule: str | None = None) -> "RemaskingDiffusion":
        return RemaskingDiffusion(super().with_steps(num_steps, schedule), self.rate, self.kind)

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        if condition is not None:
            raise ValueError("condition: expected none where places are masked again; name them by fixed=")
        return super().initial(batch_size, generator=generator)

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        if bool((t_from != self.num_steps).any()):
            raise ValueError(f"t_from: expected T = {self.num_steps}, for places that are masked again, got another")
        kept = uniform(x.shape, generator, x.device) < self.shares[t_to][:, None]
        return torch.where((self.fixed == self.alphabet.mask) & ~kept, self.alphabet.mask, x)

    def defines(self, method: str) -> bool:
        return method != "finished" and super().defines(method)

    def finished(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def _step(self, law: MaskedTransition, t: Tensor) -> Transition:
        x, mask = law.tokens, self.alphabet.mask
        unmasked = self.probabilities[t].to(law.log_probs.dtype)[:, None]
        again = self.remasked[t].to(law.log_probs.dtype)[:, None].expand(x.shape)
        again = torch.where(self.fixed == mask, again, 0.0)
        stay = torch.full_like(law.log_probs, -math.inf).scatter_(
            2, x.clamp(max=mask - 1)[..., None], torch.log1p(-again)[..., None]
        )
        letters = torch.where((x == mask)[..., None], law.log_probs + unmasked.log()[..., None], stay)
        masked = torch.where(x == mask, torch.log1p(-unmasked), again.log())
        return RemaskingTransition(torch.cat([letters, masked[..., None]], dim=2))
