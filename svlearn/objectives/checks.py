"""A step of two trajectories, tried when an objective is made: what cannot be is said before it costs an hour."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch

from svlearn.conditions import Conditions, draw_rows
from svlearn.inference import proposals
from svlearn.inference.proposals import Proposal
from svlearn.modes import in_evaluation
from svlearn.placement import where_the_reference_is
from svlearn.policies import Finetuned, Policy
from svlearn.policies.reading import check_read, read_by
from svlearn.process import Prediction, Reference, draw_initial, predict
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
    for t, x, prediction in _tried(reference, partial(proposal.predict, reference), conditions, generator):
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


@torch.no_grad()
@in_evaluation
@where_the_reference_is
def check_divergence(reference: Reference, proposal: Proposal, need: str, conditions: Conditions | None = None) -> None:
    """Raise TypeError where KL(q(·|x_t) || p_ref(·|x_t)) of the first or last step is not known in closed form."""
    generator = seeded(device_of(reference), 0)
    for t, x, prediction in _tried(reference, partial(proposal.predict, reference), conditions, generator):
        law = proposal.transition(x, t, prediction)
        try:
            if law is not prediction.transition:
                law.kl(prediction.transition)
        except TypeError as error:
            raise TypeError(
                f"{need}: expected transitions whose divergence is known ({error}); kl='sampled' takes all that have a "
                "log-probability, unbiased as well, and 'k3' does"
            ) from error


@where_the_reference_is
def check_unmoved(reference: Reference, policy: Policy, need: str, conditions: Conditions | None = None) -> None:
    """Raise ValueError, with the step and what to do, where training would move x at a first or last step that has no
    noise: log q - log p_ref is -inf there from the first optimiser step on."""
    generator = seeded(device_of(reference), 0)
    parameters = [each for each in policy.trained() if each.requires_grad]
    proposal = proposals.Policy(policy)

    def look(x: State, t: int, previous: Prediction | None) -> Prediction:
        with torch.no_grad():
            prediction = predict(reference, x, t, previous)
        return proposal.complete(prediction, x, t, previous)

    with torch.inference_mode(False), torch.enable_grad():
        for t, x, prediction in _tried(reference, look, conditions, generator):
            own = gaussian_of(prediction.transition)
            if own is None:
                return
            if not bool(own.diracs.any()):
                continue
            law = gaussian_of(proposal.transition(x, t, prediction))
            if law is None or not law.mean.requires_grad:
                continue
            moved = law.mean[own.diracs]
            weights = randn(moved.shape, generator, moved.device, moved.dtype)
            found = torch.autograd.grad((weights * moved).sum(), parameters, allow_unused=True)
            if any(each is not None and bool((each != 0).any()) for each in found):
                raise ValueError(_refusal(need, t, type(policy).__name__))


def check_trained(policy: Policy, conditions: Conditions | None) -> None:
    """Raise ValueError where no step under the conditions reads what a `Finetuned` trains, of which nothing is known
    before where its reference starts from nothing but a condition."""
    if conditions is not None and isinstance(policy, Finetuned):
        rows = conditions.draw(2, seeded(device_of(policy), 0))
        check_read(read_by(policy.copy, policy.trained(), rows), policy.reference)


def _tried(
    reference: Reference,
    look: Callable[[State, int, Prediction | None], Prediction],
    conditions: Conditions | None,
    generator: torch.Generator,
) -> Iterator[tuple[int, State, Prediction]]:
    """t, two states and what look(x, t, previous) predicts for them, at the first and the last step. Where a cache is
    handed on these follow each other by all steps between; else x_0 stands for a state of the last one, too."""
    last, rows = reference.num_steps - 1, draw_rows(conditions, 2, generator)
    x = draw_initial(reference, 2, condition=rows, generator=generator)
    prediction = look(x, 0, None)
    yield 0, x, prediction
    if last == 0:
        return
    if not prediction.has_cache:
        yield last, x, look(x, last, None)
        return
    for t in range(1, last + 1):
        with torch.no_grad():
            x = prediction.transition.sample(generator=generator)
        prediction = look(x, t, prediction)
    yield last, x, prediction


def _without_noise(law: Transition) -> bool:
    inner = gaussian_of(law)
    return inner is not None and bool(inner.diracs.any())


def _refusal(need: str, t: int, who: str) -> str:
    return (
        f"{need}: the reference has no noise at t = {t} (a std of 0), so that log q - log p_ref is -inf where q moves "
        f"x at all, and {who} does; take a reference with noise in that step, policies.Controlled, whose mean + std² g "
        "stays there, policies.Finetuned with noiseless='reference', or a policy whose `steer` returns "
        "prediction.transition at that t"
    )
