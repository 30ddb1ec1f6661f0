"""Which of the processes of one run this one is, as torchrun, SLURM and Lightning's launchers tell it."""

import os

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # the second of Lightning's own launcher, on one host


def rank() -> int:
    """0 for a process alone and for the first of several."""
    return next((int(os.environ[name]) for name in RANKS if os.environ.get(name, "").isdigit()), 0)
