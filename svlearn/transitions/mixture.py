"""A mixture of laws of the same states, drawn for each row alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from svlearn.randomness import categorical
from svlearn.state import State, concatenate, device_of_state, take
from svlearn.transitions.transition import Transition


class MixtureTransition(Transition):
    """Σ_k w_k p_k(x_{t+1} | x_t), of K laws p_k over the same B rows.

    laws: K Transitions; weights (K,) or (B, K): of any sum above 0. Each law draws for all rows, each row keeps one.
    Raises ValueError for weights of another shape, negative ones and rows without any.
    """

    def __init__(self, laws: Sequence[Transition], weights: Tensor | Sequence[float]):
        self.laws = list(laws)
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if not self.laws or weights.dim() not in (1, 2) or weights.shape[-1] != len(self.laws):
            raise ValueError(
                f"weights: expected (K,) or (B, K) of K = {len(self.laws)} laws, got {tuple(weights.shape)}"
            )
        if not bool((weights >= 0).all() and (weights.sum(dim=-1) > 0).all() and weights.isfinite().all()):
            raise ValueError("weights: expected finite numbers of at least 0, one above 0 in each row, got others")
        self.weights = weights / weights.sum(dim=-1, keepdim=True)

    def sample(self, *, generator: torch.Generator | None = None) -> State:
        drawn = [law.sample(generator=generator) for law in self.laws]
        size, device = drawn[0].shape[0], device_of_state(drawn[0])
        chosen = categorical(self.weights.to(device).expand(size, -1), generator)
        return take(concatenate(drawn), torch.arange(size, device=device) + size * chosen)

    def log_prob(self, x_next: State) -> Tensor:
        terms = torch.stack([law.log_prob(x_next).double() for law in self.laws], dim=1)
        return (terms + self.weights.to(terms.device).log()).logsumexp(dim=1)

    def outcomes(self, limit: int) -> tuple[State, Tensor]:
        """Those of all laws, one after the other: a state that several reach is listed several times."""
        listed = [law.outcomes(limit) for law in self.laws]
        number = sum(log_probs.shape[1] for _, log_probs in listed)
        if number > limit:
            raise ValueError(f"outcomes: {number} next states, the limit is {limit}")
        logs = self.weights.to(listed[0][1].device).log().expand(len(listed[0][1]), -1)
        terms = [log_probs + logs[:, [k]] for k, (_, log_probs) in enumerate(listed)]
        return torch.cat([states for states, _ in listed], dim=1), torch.cat(terms, dim=1)

    def __getitem__(self, index: Any) -> "MixtureTransition":
        weights = self.weights if self.weights.dim() == 1 else take(self.weights, index)
        return MixtureTransition([law[index] for law in self.laws], weights)

    @classmethod
    def cat(cls, parts: Sequence["MixtureTransition"]) -> "MixtureTransition":
        laws = [concatenate([part.laws[k] for part in parts]) for k in range(len(parts[0].laws))]
        weights = [part.weights for part in parts]
        return cls(laws, weights[0] if weights[0].dim() == 1 else torch.cat(weights))
