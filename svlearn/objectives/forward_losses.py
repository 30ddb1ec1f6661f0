"""What samples and their rewards say to a denoiser: how strongly each pulls, and the loss that the pulls make."""

import torch
from torch import Tensor

from svlearn.objectives.group_relative import constant_groups


def pulled_loss(losses: Tensor, slow_losses: Tensor, pulls: Tensor, totals: Tensor) -> Tensor:
    """h ℓ(θ; x_T) + (s - h) ℓ(θ; slow), of the shape of the losses, with pulls h and totals s of that shape.

    ℓ(θ; x_T): the denoising loss of a sample; ℓ(θ; slow): the same in expectation over what the slow copy predicts of
    x_T for the same x_t. Both are linear in the target's mean (of x_T, or of its one-hots), so that where s > 0 the
    minimiser in θ at x_t has the mean

        m(x_t) = m_slow + E[h (x_T - m_slow) | x_t] / E[s | x_t].

    DiffusionNFT (arXiv 2509.16117, equation 5) is h = (2o - 1)/β, s = 1: of squared errors its

        o |m⁺ - x_T|² + (1 - o) |m⁻ - x_T|²,    m± = m_slow ± β (m_θ - m_slow),

    is β² (h |m_θ - x_T|² + (1 - h) |m_θ - m_slow|²) and terms without θ. Where m_slow = E[x_T | x_t] the minimiser is
    then m_slow + (2/β) Δ with its Δ = E[o | x_t] (E[o x_T | x_t]/E[o | x_t] - m_slow) (theorem 3.2 there).
    """
    return pulls * losses + (totals - pulls) * slow_losses


def optimality_of(rewards: Tensor, clip: float, group_size: int | None = None) -> Tensor:
    """o = 1/2 + 1/2 clamp((r - b)/(clip · σ), -1, 1), (B,), float64, in [0, 1] (arXiv 2509.16117, equation 9).

    b: the mean of the rewards (B,), or of the group that each is in, `group_size` consecutive ones; σ: the std of all
    of them. 1/2 where they are all alike, but for rounding.
    """
    scores, size = rewards.double(), len(rewards) if group_size is None else group_size
    groups = scores.view(-1, size)
    centred = (groups - groups.mean(dim=1, keepdim=True)).flatten()
    width = clip * scores.std(correction=0)
    offsets = torch.where(constant_groups(rewards, size), 0.0, centred / torch.where(width > 0, width, 1.0))
    return 0.5 + 0.5 * offsets.clamp(-1, 1)


def effective_share(weights: Tensor) -> Tensor:
    """(Σ w)²/(B Σ w²), (): which share of the samples the weights leave, 1 where all are alike."""
    return weights.sum() ** 2 / (len(weights) * weights.square().sum())
