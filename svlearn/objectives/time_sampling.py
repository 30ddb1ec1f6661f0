"""Some times of each trajectory in place of all: an unbiased look at long processes."""

import torch
from torch import Tensor

from svlearn.arguments import integer


def check_num_times(num_times: int | None, num_steps: int) -> int | None:
    """It as an int; ValueError unless it is None or an integer from 1 to T."""
    if num_times is None:
        return None
    try:
        return integer(num_times, "num_times", 1, num_steps)
    except ValueError:
        expected = f"None or an integer from 1 to {num_steps}"
        raise ValueError(f"num_times: expected {expected}, got {num_times!r}") from None


def draw_times(batch_size: int, num_steps: int, num_times: int, generator: torch.Generator) -> Tensor:
    """Different times of each trajectory, (B, num_times), uniform in 0 ... T - 1.

    Each is chosen with probability num_times/T, so T times the mean over them is unbiased for the sum over all.
    """
    scores = torch.rand(batch_size, num_steps, generator=generator, device=generator.device)
    return scores.topk(num_times, dim=1).indices
