"""Some times of each trajectory in place of all: an unbiased look at long processes."""

import torch
from torch import Tensor


def check_num_times(num_times: int | None, num_steps: int) -> None:
    """Raise ValueError unless it is None or an integer from 1 to T."""
    if num_times is None or (type(num_times) is int and 1 <= num_times <= num_steps):
        return
    raise ValueError(f"num_times: expected None or an integer from 1 to {num_steps}, got {num_times!r}")


def draw_times(batch_size: int, num_steps: int, num_times: int, generator: torch.Generator) -> Tensor:
    """Different times of each trajectory, (B, num_times), uniform in 0 ... T - 1.

    Each is chosen with probability num_times/T, so T times the mean over them is unbiased for the sum over all.
    """
    scores = torch.rand(batch_size, num_steps, generator=generator, device=generator.device)
    return scores.topk(num_times, dim=1).indices
