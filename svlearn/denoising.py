"""How wrong a prediction is about the finished sample: the losses that a denoiser is trained by, one a row.

Each takes x_T (B, ...), or in its place what another process predicts for the same x_t, a `Prediction`: the loss is
then the expectation over the x_T that this one expects, up to a term that does not depend on what is trained.
"""

from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.compiled import plain
from svlearn.state import State, flattened
from svlearn.transitions import FieldTransition, MaskedTransition, Transition, coordinates_of

if TYPE_CHECKING:
    from svlearn.process import Prediction, Reference


def default_loss(reference: "Reference", x_T: "State | Prediction", t: Tensor, prediction: "Prediction") -> Tensor:
    """That of what a prediction has, (B,): of `clean_law` the `likelihood_loss`, else of a `clean` of floats the
    `squared_loss` over σ_t², where the reference has `noise_levels` (`schedules.NoiseLevels`), and over 1 where it has
    none. TypeError where it has neither.

    Whatever weight a loss has at t, its minimiser is the same: the law, or the mean, of x_T given x_t.
    """
    if prediction.clean_law is not None:
        return likelihood_loss(x_T, prediction)
    if prediction.clean is None or not _is_floating_point(prediction.clean):
        came = "neither" if prediction.clean is None else "a clean of whole numbers, which has no gradient"
        raise TypeError(
            f"{type(plain(reference)).__name__}: expected predictions with a clean_law, a law of x_T that has a "
            f"log_prob, or a clean of floats, got {came}; write one of them in forward, or a denoising_loss(x_T, x_t, "
            "t, prediction) that returns (B,)"
        )
    losses, levels = squared_loss(x_T, prediction), getattr(plain(reference), "noise_levels", None)
    if levels is None:
        return losses
    stds = levels().stds.to(t.device)[t]
    return losses / torch.where(stds > 0, stds, 1.0).to(losses.dtype) ** 2  # 0 where x_0 is one point


def likelihood_loss(x_T: "State | Prediction", prediction: "Prediction") -> Tensor:
    """-log p(x_T | x_t) of `clean_law`, (B,), nats: of a masked diffusion that of the places which are still masked."""
    wanted: Any = x_T if _is_state(x_T) else _law(x_T)
    return _cross_entropy(wanted, _law(prediction))


def squared_loss(x_T: "State | Prediction", prediction: "Prediction") -> Tensor:
    """|x̂_T - x_T|² of `clean`, (B,), the mean over the numbers that a step moves (see `transitions.coordinates`)."""
    coordinates = coordinates_of(prediction.transition)
    wanted: Any = x_T if _is_state(x_T) else x_T.clean  # type: ignore[union-attr]
    offsets = coordinates.of(_present(prediction.clean)) - coordinates.of(_present(wanted))
    return flattened(offsets).square().mean(dim=1)


def unmasking_loss(x_T: "State | Prediction", prediction: "Prediction") -> Tensor:
    """The expectation of -log p(token) over what the step unmasks, (B,), nats, of steps that are `MaskedTransition`, of
    a tensor or of leaves: the sum of T of them is -log p(x_T) at most, the negative ELBO (MDLM, arXiv 2406.07524).

    It is the KL of the step that knows x_T and the step, each masked place unmasked with the share of the step.
    """
    step, law = prediction.transition, _law(prediction)
    wanted: Any = x_T if _is_state(x_T) else _law(x_T)
    if not isinstance(step, FieldTransition) or not isinstance(law, FieldTransition):
        return _share(step) * _cross_entropy(wanted, law)
    leaves = wanted.laws if isinstance(wanted, FieldTransition) else wanted
    terms = [_share(step.laws[name]) * _cross_entropy(leaves[name], each) for name, each in law.laws.items()]
    return torch.stack(terms).sum(dim=0)


def next_step_loss(reference: "Reference", x_T: "State | Prediction", t: Tensor, prediction: "Prediction") -> Tensor:
    """-log p(x_{t+1} | x_t), (B,), nats, of a process whose x_{t+1} is told by x_T, as a text's beginning is: the
    cross-entropy of the next token. A finished text has 0."""
    if not _is_state(x_T):
        return _cross_entropy(x_T.transition, prediction.transition)  # type: ignore[union-attr]
    later = torch.full_like(t, reference.num_steps)
    return _cross_entropy(reference.noise(x_T, later, t + 1), prediction.transition)  # type: ignore[arg-type]


def _cross_entropy(wanted: State | Transition, law: Transition) -> Tensor:
    """-log law(wanted); of a law its expectation, less that law's own entropy."""
    return wanted.kl(law) if isinstance(wanted, Transition) else -law.log_prob(wanted)


def _share(step: Transition) -> Tensor:
    if not isinstance(step, MaskedTransition):
        raise TypeError(f"transition: expected a MaskedTransition, got {type(step).__name__}")
    return step.share


def _law(prediction: Any) -> Transition:
    if prediction.clean_law is None:
        raise TypeError("clean_law: expected a prediction with a law of x_T, got one without")
    return prediction.clean_law


def _present(clean: State | None) -> Any:
    if clean is None:
        raise TypeError("clean: expected a prediction with a point prediction of x_T, got one without")
    return clean


def _is_state(x: Any) -> bool:
    return isinstance(x, (Tensor, TensorDict))


def _is_floating_point(x: State) -> bool:
    leaves = [x] if isinstance(x, Tensor) else list(x.values(include_nested=True, leaves_only=True))
    return any(each.is_floating_point() for each in leaves)
