"""The losses of path consistency: how far the weight of a trajectory is from constant."""

import torch
from torch import Tensor

VARIANTS = ("trajectory", "subtrajectory", "log_variance", "detailed", "steps")


def log_weights(values: Tensor, log_ratios: Tensor) -> Tensor:
    """log w_t = v_t/α - Σ_{k<t} log q/p_ref, (B, T + 1), nats, float64: δ between s and u is log w_s - log w_u.

    values (B, T + 1): v_t(x_t)/α, nats, the last r(x_T)/α; log_ratios (B, T): log q(x_{t+1}|x_t) - log
    p_ref(x_{t+1}|x_t), nats. For the exact v and q = p* the weight does not change along any trajectory.
    """
    spent = log_ratios.double().cumsum(dim=1)
    return values.double() - torch.cat([torch.zeros_like(spent[:, :1]), spent], dim=1)


def pair_weights(variant: str, num_times: int, num_steps: int = 1, sub_lambda: float = 0.9) -> Tensor:
    """How much δ² between the times s < u counts, (T + 1, T + 1), float64, sums to 1; num_times is T + 1.

    "trajectory": (0, T) alone (trajectory balance, arXiv 2201.13259; relative to a reference 2405.20971).
    "steps": (s, min(s + c, T)) for every s, c = num_steps (PCL, 1702.08892); "detailed": c = 1.
    "subtrajectory": every pair, ∝ λ^(u - s), λ = sub_lambda (SubTB(λ), 2209.12782).
    """
    last = num_times - 1
    pairs = torch.zeros(num_times, num_times, dtype=torch.float64)
    start = torch.arange(num_times)
    if variant == "trajectory":
        pairs[0, last] = 1.0
    elif variant == "subtrajectory":
        gaps = start[None] - start[:, None]
        pairs = torch.where(gaps > 0, torch.tensor(sub_lambda, dtype=torch.float64) ** (gaps - 1).clamp(min=0), 0.0)
    else:
        pairs[start[:-1], (start[:-1] + (1 if variant == "detailed" else num_steps)).clamp(max=last)] = 1.0
    return pairs / pairs.sum()


def path_loss(log_weights: Tensor, pairs: Tensor, *, hold_later: bool = False) -> Tensor:
    """Σ_{s<u} pairs[s, u] δ², δ = log w_s - log w_u, (B,), nats², of log-weights (B, T + 1).

    The square is multiplied out, which needs no (B, T + 1, T + 1). hold_later: no gradient flows into log w_u, so
    that v_s follows what v_u says and not the other way round (temporal differences).
    """
    pairs = pairs.to(log_weights)
    read = (pairs.sum(dim=0) + pairs.sum(dim=1)) / 2  # how much each time counts; the squares of others would cancel
    early = log_weights - (log_weights.detach() @ read)[:, None]
    later = early.detach() if hold_later else early
    return early**2 @ pairs.sum(dim=1) + later**2 @ pairs.sum(dim=0) - 2 * ((early @ pairs) * later).sum(dim=1)


def log_variance_loss(log_weights: Tensor, group: int | None = None) -> Tensor:
    """The unbiased variance over trajectories of δ between 0 and T, () nats²; of log-weights (B, T + 1).

    group: over each so many consecutive trajectories (that share x_0: v_0 then has no effect), averaged; None: over
    the batch. (The log-variance divergence, arXiv 2307.01198.)
    """
    gaps = log_weights[:, 0] - log_weights[:, -1]
    return gaps.view(-1, len(gaps) if group is None else group).var(dim=1).mean()
