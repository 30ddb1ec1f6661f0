"""The law of the next token by a model's logits: temperature, top-k and top-p, as `generate` has them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import integer, real
from svlearn.deferred_checks import check_finite
from svlearn.targets import NonFiniteError

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class SamplingLaw:
    """log p(token) ∝ logits/temperature, over the top_k likeliest tokens, and of these over the fewest that have a
    share of top_p; all other tokens have probability 0. By transformers' own logits processors, in that order.

    temperature: above 0; top_k: at least 1, None for all; top_p: above 0 and at most 1, None for all.
    Raises ValueError for others. It cannot be changed: a process of another law is another process.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    _warpers: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from transformers.generation import logits_process

        temperature = real(self.temperature, "temperature", above=0)
        top_k = None if self.top_k is None else integer(self.top_k, "top_k")
        top_p = None if self.top_p is None else real(self.top_p, "top_p", above=0, most=1)
        warpers: list[Any] = []
        if temperature != 1:
            warpers.append(logits_process.TemperatureLogitsWarper(temperature))
        if top_k is not None:
            warpers.append(logits_process.TopKLogitsWarper(top_k))
        if top_p is not None and top_p < 1:
            warpers.append(logits_process.TopPLogitsWarper(top_p))
        for name, each in {"temperature": temperature, "top_k": top_k, "top_p": top_p}.items():
            object.__setattr__(self, name, each)
        object.__setattr__(self, "_warpers", tuple(warpers))

    def __call__(self, logits: Tensor) -> Tensor:
        """Unnormalised log-probabilities (B, V) of logits (B, V), -inf for what is left out; in their dtype."""
        for warper in self._warpers:
            logits = warper(None, logits)
        return logits

    @property
    def settings(self) -> list[float | None]:
        """What tells it apart."""
        return [self.temperature, self.top_k, self.top_p]


def check_logits(logits: Tensor, t: Tensor) -> None:
    """Raise NonFiniteError, with the step t (B,) and the row, for logits (B, V) of no law: with NaN or +inf, or all
    -inf; in half precision, where numbers overflow, for any that is not finite. What waits to be looked at is (B,)."""
    logits = logits.detach()
    edges = logits.amax(dim=1)  # finite where a row is a law
    if logits.dtype in HALF:
        edges = edges.float() - logits.amin(dim=1).float()
    check_finite(edges.sum(), lambda: _refuse(edges, t, logits.dtype))


def _refuse(edges: Tensor, t: Tensor, dtype: torch.dtype) -> None:
    broken = ~edges.isfinite()
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        advice = "; run it in torch.bfloat16 or torch.float32" if dtype in HALF else ""
        raise NonFiniteError(
            f"CausalLM: the model's logits at index {row} at step {int(t[row])} are not finite in {dtype}{advice}"
        )
