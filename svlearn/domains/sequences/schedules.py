"""Schedules of masked diffusion: which share of the places is expected to be unmasked at each time."""

import math

import torch
from torch import Tensor

from svlearn.arguments import integer

SCHEDULES = ("log_linear", "cosine", "one_place")


def unmasked_shares(schedule: str, num_steps: int) -> Tensor:
    """a_0 = 0 ... a_T = 1, (T + 1,), float64: the probability that a place is unmasked at t, in this time's direction.

    log_linear: a_t = t/T, MDLM's (arXiv 2406.07524), in whose time -log(1 - a) is the total noise; cosine:
    a_t = 1 - cos(π t/2T) (MaskGIT, arXiv 2202.04200), slow at first, where each place decides most; one_place: t/T, and
    exactly so many of T places. Raises ValueError for an unknown schedule, with the known ones, and no step.
    """
    num_steps = integer(num_steps, "num_steps")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: expected one of {', '.join(SCHEDULES)}, got {schedule!r}")
    shares = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    if schedule == "cosine":
        shares = 1 - (math.pi / 2 * shares).cos()
        shares[-1] = 1.0
    return shares


def unmasking_probabilities(shares: Tensor) -> Tensor:
    """(a_{t+1} - a_t)/(1 - a_t), (T,): that a place masked at t is not at t + 1 (arXiv 2406.07524). The
    last is exactly 1."""
    probabilities = shares.diff() / (1 - shares[:-1])
    probabilities[-1] = 1.0
    return probabilities.clamp(max=1.0)
