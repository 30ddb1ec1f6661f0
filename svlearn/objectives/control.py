"""The control of a Gaussian policy, g_θ = (m_θ - m)/s², of whatever form the policy is; and which policies have one."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from svlearn.policies import Controlled, Policy
from svlearn.process import Prediction, call, predict
from svlearn.randomness import randn, seeded
from svlearn.state import State, device_of_state, times
from svlearn.transitions import Coordinates, GaussianTransition, Transition, coordinates_of, described, gaussian_of

OTHERS = "PolicyGradient, DistributionalPolicyGradient and PathConsistency train a policy of any kind"


def gaussian(prediction: Prediction) -> GaussianTransition:
    """The transition over its coordinates, which of a tensor is itself; TypeError where it is not Gaussian in them."""
    law = gaussian_of(prediction.transition)
    if law is None:
        raise TypeError(f"reference: expected a Gaussian transition, got {described(prediction.transition)}")
    return law


def control_of(policy: Policy, x: State, t: Tensor, prediction: Prediction | None) -> Tensor:
    """g_θ(x_t, t) = (m_θ(x_t) - m(x_t))/s_t² over the coordinates, (B, ...), nats per unit of x, of a policy that
    `check_controls` took; 0 where s_t is.

    prediction: the reference's, of x_t, `completed`; a `Controlled`, which says g_θ itself, does without.
    """
    if isinstance(policy, Controlled):
        return policy.coordinates.gradient(policy.control(x, t), x)
    own = gaussian(_given(prediction))
    law = _steered(policy, x, t, _given(prediction))
    noisy = own.std > 0
    return torch.where(noisy, gaussian(Prediction(law)).mean - own.mean, 0.0) / torch.where(noisy, own.std, 1.0) ** 2


def prediction_for_control(policy: Policy, x: State, t: int, previous: Prediction | None = None) -> Prediction | None:
    """What `control_of` reads of the reference, without its gradient; None, and no call, for a `Controlled`. previous:
    that of the step before, whose cache the call reuses."""
    if isinstance(policy, Controlled):
        return None
    with torch.no_grad():
        return predict(policy.reference, x, t, previous)


def completed(
    policy: Policy, x: State, t: Tensor, prediction: Prediction | None, previous: Prediction | None
) -> Prediction | None:
    """The reference's prediction with that of a policy that has a network of its own, as `Prediction.policy`, whose
    gradient passes through its cache too; of another, that corrects the reference, as it is. previous: that of the
    step before, completed."""
    if prediction is None or policy.corrects:
        return prediction
    own = None if previous is None else previous.policy
    cache = None if own is None or own.cache is None else own
    return replace(prediction, policy=call(policy, x, t, cache).trimmed())


def handed_on(prediction: Prediction | None) -> Prediction | None:
    """What the next step may reuse; None where there is nothing."""
    return None if prediction is None or not prediction.has_cache else prediction.trimmed()


def _steered(policy: Policy, x: State, t: Tensor, prediction: Prediction) -> Transition:
    own = prediction.policy
    return policy.steer(prediction, x, t) if own is None else policy.law_of(own, prediction)


def check_controls(policy: Any, states: State) -> Coordinates:
    """The coordinates that a control moves; raises where the policy has none that can be trained. states (B, T + 1,
    ...) of its reference.

    A `Controlled` has one. Of another, each step must be Gaussian with the reference's std, which is not trained; the
    mean must be trained at some step, and stay the reference's where the std is 0: TypeError for what is not Gaussian
    or trains no mean, ValueError for the std and for a step without noise that is moved, all with the step.
    """
    if isinstance(policy, Controlled):
        return policy.coordinates
    moved, previous = False, None
    for t in range(policy.num_steps):
        x = states[:, t].clone()
        moments = times(t, len(x), device_of_state(x))
        with torch.no_grad():
            prediction = predict(policy.reference, x, t, previous)
        with torch.inference_mode(False), torch.enable_grad():
            previous = completed(policy, x, moments, prediction, previous)
            steered = _steered(policy, x, moments, _given(previous))
        name, law = type(policy).__name__, gaussian_of(steered)
        if law is None:
            raise TypeError(f"policy: expected a policies.Controlled, got {name}; {OTHERS}")
        own = gaussian(prediction)
        if law.std.requires_grad or not torch.equal(law.std.expand_as(law.mean), own.std.expand_as(own.mean)):
            actual = "one that is trained along" if law.std.requires_grad else "another"
            raise ValueError(
                f"policy: expected the reference's std, as a control moves the mean alone, got {actual} from {name} at "
                f"step {t}; policies.Controlled keeps it, and modules= of Finetuned leaves out what it depends on; "
                f"{OTHERS}"
            )
        if moves_diracs(law, own, policy):
            raise ValueError(
                f"policy: expected noise at every step, got a std of 0 at step {t}, where {name} would move the state "
                "at no cost; policies.Controlled leaves such a step as it is, and so does policies.Finetuned with "
                "noiseless='reference'; a DDPM has noise there with the variance 'large' of schedules.gaussian_steps"
            )
        moved = moved or law.mean.requires_grad
    if not moved:
        raise TypeError(
            f"policy: expected a policies.Controlled, got {type(policy).__name__}, which trains the mean of no step; a "
            f"Finetuned whose steps are Gaussian will do; {OTHERS}"
        )
    return coordinates_of(prediction.transition)


def moves_diracs(law: GaussianTransition, own: GaussianTransition, policy: Policy) -> bool:
    """Whether a policy's law moves x where the reference's own has no noise, or would once it is trained."""
    diracs = own.diracs
    if not bool(diracs.any()):
        return False
    moved = law.mean[diracs]
    if bool((moved != own.mean[diracs]).any()):
        return True
    if not law.mean.requires_grad:
        return False
    weights = randn(moved.shape, seeded(moved.device, 0), moved.device, moved.dtype)
    parameters = [each for each in policy.trained() if each.requires_grad]
    gradients = torch.autograd.grad((weights * moved).sum(), parameters, allow_unused=True, retain_graph=True)
    return any(each is not None and bool((each != 0).any()) for each in gradients)


def _given(prediction: Prediction | None) -> Prediction:
    if prediction is None:
        raise ValueError("prediction: expected the reference's, of which the control is told, got None")
    return prediction
