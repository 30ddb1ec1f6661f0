"""What all the processes that train together have: rows, where a loss is no mean over trajectories, and figures."""

import math
from statistics import fmean

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def gather_rows(rows: Tensor) -> Tensor:
    """Rows (B, ...) of every process, by rank one below the other, the same in each; all take part in the call.

    Processes may hold different numbers of rows. A gradient reaches each from all the others: where every process has
    the same loss of all rows, the mean of their gradients, which DDP and FSDP take, is the gradient of that loss.
    """
    size = torch.tensor([len(rows)], device=rows.device)
    sizes = [torch.empty_like(size) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, size)
    numbers = [int(each) for each in sizes]
    missing = max(numbers) - len(rows)
    padded = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows
    parts = all_gather(padded.contiguous())
    return torch.cat([part[:number] for part, number in zip(parts, numbers, strict=True)])


def mean_over_processes(figures: dict[str, float]) -> dict[str, float]:
    """Figures by name, each the mean over the processes that have it; "..._standard_error", that of such a mean."""
    everyone: list[dict[str, float]] = [{}] * distributed.get_world_size()
    distributed.all_gather_object(everyone, figures)
    means = {}
    for name in figures:
        parts = [each[name] for each in everyone if name in each]
        is_error = name.endswith("_standard_error")
        means[name] = math.hypot(*parts) / len(parts) if is_error else fmean(parts)
    return means
