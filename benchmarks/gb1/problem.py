"""The landscape of the study: the shipped reference, the logarithm of the measured fitness, and what is compared."""

from functools import cache

import torch

from svlearn.domains.sequences.gb1 import LogFitness, library, load
from svlearn.domains.sequences.landscape import Landscape
from svlearn.targets import Target

ALPHA = 0.3  # of what is trained and drawn; others are swept where the law of a sampler is summed
ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0)
CANDIDATES = (1, 2, 5, 10, 20, 50)
CHOSEN = 10  # candidates, where one number is shown


@cache
def landscape() -> Landscape:
    """Of the shipped reference."""
    return Landscape(load(), LogFitness())


@cache
def library_landscape() -> Landscape:
    """Of the library before the selection, whose sites are independent."""
    return Landscape(library().float(), landscape().reward)


def target() -> Target:
    return landscape().target(ALPHA)


def figures_of(found: Landscape, alpha: float) -> dict[str, float]:
    """What there is to gain: log Z, KL(p* || p_ref), mean fitness and the number of variants that p* is spread over."""
    law, before, fitness = found.law(alpha).exp(), found.law().exp(), found.rewards.exp()
    return {
        "log_normalizer": float(found.log_normalizer(alpha)),
        "kl": float(found.optimal_kl(alpha)),
        "fitness": float(law @ fitness),
        "reference_fitness": float(before @ fitness),
        "variants": float(torch.special.entr(law).sum().exp()),
    }
