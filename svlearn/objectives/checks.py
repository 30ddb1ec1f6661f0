"""A step of two trajectories, tried when an objective is made: what cannot be is said before it costs an hour."""

import math

import torch

from svlearn.conditions import Conditions, draw_rows
from svlearn.inference import proposals
from svlearn.inference.proposals import Proposal
from svlearn.modes import in_evaluation
from svlearn.placement import where_the_reference_is
from svlearn.policies import Policy
from svlearn.process import Reference, draw_initial
from svlearn.randomness import device_of, randn, seeded
from svlearn.state import State
from svlearn.transitions import Transition, gaussian_of


@torch.no_grad()
@in_evaluation
@where_the_reference_is
def check_log_prob(reference: Reference, proposal: Proposal, need: str, conditions: Conditions | None = None) -> None:
    """Raise TypeError, with the objectives that can do without, where log q(x_1|x_0) - log p_ref(x_1|x_0) is not to be
    had; ValueError, with the step, where q moves x otherwise than p_ref at a first or last step that has no noise.
    need: who asks for it, and what for."""
    generator = seeded(device_of(reference), 0)
    x = _two_states(reference, conditions, generator)
    for t in _tried(reference):
        prediction = proposal.predict(reference, x, t, None)
        own = prediction.transition
        always_noisy = gaussian_of(own) is None  # as others are, and x_0 may be no state of another t
        if t > 0 and always_noisy:
            return
        law = proposal.transition(x, t, prediction)
        if law is own:  # q = p_ref: 0, whatever it is
            return
        try:
            ratio = law.log_ratio(own, law.sample(generator=generator))
        except (NotImplementedError, TypeError, AttributeError) as error:
            kinds = " and ".join(sorted({type(each).__name__ for each in (law, own)}))
            raise TypeError(
                f"{need}: expected transitions with a log-probability, got {kinds} ({type(error).__name__}: {error}); "
                "MonteCarloRegression, SoftQIteration, ContrastiveTwist and ContrastiveEnergy learn a value without "
                "one, from trajectories of the reference"
            ) from error
        if _without_noise(own) and bool((ratio == -math.inf).any()):
            raise ValueError(_refusal(need, t, "the proposal"))
        if always_noisy:
            return


@where_the_reference_is
def check_unmoved(reference: Reference, policy: Policy, need: str, conditions: Conditions | None = None) -> None:
    """Raise ValueError, with the step and what to do, where training would move x at a first or last step that has no
    noise: log q - log p_ref is -inf there from the first optimiser step on."""
    generator = seeded(device_of(reference), 0)
    parameters = [each for each in policy.trained() if each.requires_grad]
    with torch.inference_mode(False), torch.enable_grad():
        x = _two_states(reference, conditions, generator)
        for t in _tried(reference):
            with torch.no_grad():
                prediction = proposals.FromReference().predict(reference, x, t, None)
            own = gaussian_of(prediction.transition)
            if own is None:
                return
            if not bool(own.diracs.any()):
                continue
            law = gaussian_of(proposals.Policy(policy).transition(x, t, prediction))
            if law is None or not law.mean.requires_grad:
                continue
            moved = law.mean[own.diracs]
            weights = randn(moved.shape, generator, moved.device, moved.dtype)
            found = torch.autograd.grad((weights * moved).sum(), parameters, allow_unused=True)
            if any(each is not None and bool((each != 0).any()) for each in found):
                raise ValueError(_refusal(need, t, type(policy).__name__))


def _two_states(reference: Reference, conditions: Conditions | None, generator: torch.Generator) -> State:
    return draw_initial(reference, 2, condition=draw_rows(conditions, 2, generator), generator=generator)


def _tried(reference: Reference) -> list[int]:
    """The first and the last step."""
    return sorted({0, reference.num_steps - 1})


def _without_noise(law: Transition) -> bool:
    inner = gaussian_of(law)
    return inner is not None and bool(inner.diracs.any())


def _refusal(need: str, t: int, who: str) -> str:
    return (
        f"{need}: the reference has no noise at t = {t} (a std of 0), so that log q - log p_ref is -inf where q moves "
        f"x at all, and {who} does; take a reference with noise in that step, policies.Controlled, whose mean + std² g "
        "stays there, or a policy whose `steer` returns prediction.transition at that t"
    )
