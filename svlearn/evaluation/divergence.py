"""How far a sampler's law is from the reference's: KL(q || p_ref), in nats, by log-weights or by counting choices."""

import math
from collections.abc import Iterable

import torch

from svlearn.arguments import integers, real
from svlearn.evaluation.summary import mean, standard_error
from svlearn.inference.samples import Samples


def reference_kl(samples: Samples, alpha: float) -> tuple[float, float]:
    """What KL(q || p_ref) of paths, and so of x_T, is at most, in nats, and its standard error.

        KL(q || p_ref) <= E[Σ_k w_k r(x_T^k)/α - log Z_hat]

    over groups of normalised weights w_k and of estimates Z_hat, q the law of a particle drawn by its weights: KL(q ||
    p*) <= log Z - E[log Z_hat] (see `NormalizerBounds`), and log p*/p_ref = r/α - log Z. It is equal where a group is
    one particle of one candidate, for r/α - log w_T is then log q/p_ref: for guidance or a policy, take `smc` with one
    particle and that proposal. Infinite where a group died.

    samples: of a sampler with a log normalizer, of that alpha. Raises ValueError for samples without rewards or
    without a log normalizer, and for alpha <= 0, where `best_of_kl` counts.
    """
    alpha = real(alpha, "alpha", least=0)
    if alpha == 0:
        raise ValueError("alpha: expected a number above 0, got 0; at 0 see `best_of_kl`")
    if samples.rewards is None or samples.log_normalizer is None:
        raise ValueError("samples: expected some with rewards and a log normalizer, got some without")
    weights = samples.log_weights.double().exp()
    # a particle of weight 0 counts for nothing, though its reward may be -inf
    gains = torch.where(weights > 0, weights * samples.rewards.double() / alpha, 0.0).sum(dim=1)
    log_ratios = (gains - samples.log_normalizer.double()).cpu().numpy()
    return mean(log_ratios), standard_error(log_ratios)


def best_of_kl(numbers: Iterable[int]) -> float:
    """Σ_n (log n - 1 + 1/n), nats: what KL(q || p_ref) is at most where the best of n candidates is kept, n by n.

    The best of n has the density n F^{n-1} under p_ref, F the share of candidates below it; of a maximum of n uniform
    numbers E[log F] = -1/n. Equal, of paths, where no two candidates are alike to the value, less where some are (the
    bound of arXiv 2401.01879). For `svdd` at α = 0 the numbers are its candidates, step by step; for the best of N
    plain samples N alone. Raises ValueError for a number below 1.
    """
    return math.fsum(math.log(n) - 1 + 1 / n for n in integers(numbers, "numbers"))
