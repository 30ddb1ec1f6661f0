"""Masked diffusion in a fixed order of its places: autoregressive decoding of the same network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import expect, integers
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.process import Prediction, Reference
from svlearn.transitions import ListedTransition, MaskedTransition


class InOrder(Reference):
    """A masked diffusion whose step t unmasks the place order[t], by the same network; T = L. States are its own.

    A step reveals one place, so it is exactly the network's law of that place. reference: a `MaskedDiffusion` without
    fixed places. Raises ValueError for an order that is not each of the L places once, and for fixed places.
    """

    order: Tensor

    def __init__(self, reference: MaskedDiffusion, order: Sequence[int]):
        super().__init__()
        expect(reference, MaskedDiffusion, "reference")
        if type(reference) is not MaskedDiffusion:
            raise TypeError(f"reference: expected a MaskedDiffusion itself, got {type(reference).__name__}")
        if bool((reference.fixed != reference.alphabet.mask).any()):
            raise ValueError("reference: expected one without fixed places, got some")
        self.num_steps = reference.length
        self.reference = reference.with_steps(reference.length, "one_place")
        places = integers(order, "order", 0)
        if sorted(places) != list(range(self.num_steps)):
            raise ValueError(f"order: expected each of the places 0 ... {self.num_steps - 1} once, got {places}")
        self.register_buffer("order", torch.tensor(places))

    def initial(self, batch_size: int, *, condition: Any = None, generator: torch.Generator | None = None) -> Tensor:
        if condition is not None:
            raise TypeError("condition: expected none, for the order is of all places")
        return self.reference.initial(batch_size, generator=generator)

    def forward(self, x: Tensor, t: Tensor, previous: Prediction | None = None) -> Prediction:
        prediction = self.reference(x, t) if previous is None else self.reference(x, t, previous)
        return replace(prediction, transition=self._law(x, t, prediction.transition))

    def noise(self, x: Tensor, t_from: Tensor, t_to: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Mask the last places in the order, until t_to are left."""
        return torch.where(self.order.argsort() < t_to[:, None], x, self.reference.alphabet.mask)

    def decode(self, x: Tensor) -> list[str]:
        return self.reference.decode(x)

    def _law(self, x: Tensor, t: Tensor, law: Any) -> ListedTransition:
        """Every letter at the place whose turn it is."""
        expect(law, MaskedTransition, "transition")
        rows, size = torch.arange(len(x), device=x.device), law.log_probs.shape[2]
        places = self.order[t]
        states = x[:, None].repeat(1, size, 1)
        states[rows, :, places] = torch.arange(size, device=x.device)
        return ListedTransition(states, law.log_probs[rows, places])
