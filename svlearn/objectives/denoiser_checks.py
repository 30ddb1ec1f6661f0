"""A look at two rows, when an objective is made: whether a policy can be trained on the forward process."""

from typing import Any

import torch

from svlearn.compiled import plain
from svlearn.conditions import Conditions, draw_rows
from svlearn.inference import proposals
from svlearn.modes import in_evaluation
from svlearn.objectives.checks import check_log_prob, check_unmoved
from svlearn.placement import where_the_reference_is
from svlearn.policies import Policy
from svlearn.process import Prediction, Reference, draw_initial, has, predict
from svlearn.randomness import device_of, seeded
from svlearn.schedules import check_noise
from svlearn.state import State, device_of_state, times
from svlearn.targets import check_scalars


@in_evaluation
@where_the_reference_is
def check_denoiser(reference: Reference, policy: Policy, conditions: Conditions | None, slow: bool) -> None:
    """Raise TypeError, with what to write, where the reference has no `noise` or no `denoising_loss`, or the loss does
    not depend on what the policy trains. slow: whether the loss is also asked for against another prediction."""
    name = type(plain(reference)).__name__
    if not has(reference, "noise"):
        raise TypeError(
            f"reference: expected one with a forward process, for samples are noised to train on, got {name} without; "
            "write noise(x, t_from, t_to, *, generator=None), or take Distillation or PolicyGradient, which need none"
        )
    generator = seeded(device_of(reference), 0)
    x = draw_initial(reference, 2, condition=draw_rows(conditions, 2, generator), generator=generator)
    parameters = [each for each in policy.trained() if each.requires_grad]
    steps = reference.num_steps
    for step in sorted({0, steps // 2, steps - 1}):
        t = times(step, 2, device_of_state(x))
        with torch.no_grad():
            known = predict(reference, x, t)
            x_T = _finished(known, generator)
        with torch.inference_mode(False), torch.enable_grad():
            own = predict(policy, x, t)
            losses = reference.denoising_loss(x_T, x, t, own)
            check_scalars(losses, 2, f"{name}.denoising_loss", step)
            if slow:
                check_scalars(reference.denoising_loss(known, x, t, own), 2, f"{name}.denoising_loss", step)
            if _depends(losses, parameters):
                return
    raise TypeError(
        f"policy: expected one whose own prediction of x_T is trained, as that of a policies.Finetuned, got a "
        f"{type(policy).__name__}, on whose parameters {name}.denoising_loss does not depend; PolicyGradient, "
        "DistributionalPolicyGradient and PathConsistency train a policy by its steps"
    )


def has_elbo(reference: Reference, policy: Policy, conditions: Conditions | None) -> bool:
    """Whether log q - log p_ref of a policy's steps is finite, as far as two rows tell."""
    need = "the ELBO"
    try:
        check_log_prob(reference, proposals.Policy(policy), need, conditions)
        rows = draw_rows(conditions, 2, seeded(device_of(reference), 0))
        check_noise(reference, need, rows)
        check_unmoved(reference, policy, need, conditions)
    except (TypeError, ValueError):
        return False
    return True


def _finished(prediction: Prediction, generator: torch.Generator) -> State:
    if prediction.clean is not None:
        return prediction.clean
    law = prediction.transition if prediction.clean_law is None else prediction.clean_law
    return law.sample(generator=generator)


def _depends(losses: Any, parameters: list) -> bool:
    if not losses.requires_grad:
        return False
    slopes = torch.autograd.grad(losses.sum(), parameters, allow_unused=True)
    return any(each is not None for each in slopes)
