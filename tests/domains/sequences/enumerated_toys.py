"""The toy by schedule, its values by dynamic programming, and the exact value as one that a sampler takes."""

import functools

from sequence_toys import Enumerated, Table, toy

from svlearn.values import Learned

ALPHA = 1.5
SCHEDULES = {"log_linear": 5, "cosine": 3, "one_place": 4}


@functools.cache
def truth(schedule):
    return Enumerated(reference(schedule), ALPHA)


def reference(schedule="one_place"):
    return toy(schedule, SCHEDULES[schedule])


def exact(schedule):
    return Learned(Table(SCHEDULES[schedule], truth(schedule).soft[:-1].clone())).requires_grad_(False)
