"""One step of two trajectories, tried when an objective is made: what cannot be is said before it costs an hour."""

import torch

from svlearn.inference.proposals import Proposal
from svlearn.modes import in_evaluation
from svlearn.process import Reference
from svlearn.randomness import device_of, seeded


@torch.no_grad()
@in_evaluation
def check_log_prob(reference: Reference, proposal: Proposal, need: str) -> None:
    """Raise TypeError, with the objectives that can do without, where log q(x_1|x_0) - log p_ref(x_1|x_0) is not to be
    had. need: who asks for it, and what for."""
    generator = seeded(device_of(reference), 0)
    x = reference.initial(2, generator=generator)
    prediction = proposal.look(reference, x, 0, None)
    law = proposal.transition(x, 0, prediction)
    if law is prediction.transition:  # q = p_ref: 0, whatever it is
        return
    try:
        law.log_ratio(prediction.transition, law.sample(generator=generator))
    except (NotImplementedError, TypeError, AttributeError) as error:
        kinds = " and ".join(sorted({type(each).__name__ for each in (law, prediction.transition)}))
        raise TypeError(
            f"{need}: expected transitions with a log-probability, got {kinds} ({type(error).__name__}: {error}); "
            "MonteCarloRegression, SoftQIteration, ContrastiveTwist and ContrastiveEnergy learn a value without one, "
            "from trajectories of the reference"
        ) from error
