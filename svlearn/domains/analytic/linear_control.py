"""Linear-Gaussian policies judged exactly: the KL between two chains, and the ELBO of one."""

import torch
from torch import Tensor

from svlearn.domains.analytic.linear_gaussian import LinearGaussianChain
from svlearn.domains.analytic.oracle import positive


def path_kl(policy: LinearGaussianChain, reference: LinearGaussianChain) -> Tensor:
    """KL(q(x_0 ... x_T) || p_ref(x_0 ... x_T)), (), nats, of two chains with one initial law and stds above 0.

    Σ_t of E_q[KL(q(· | x_t) || p_ref(· | x_t))]; differentiable in the policy's matrices, offsets and stds.
    Raises ValueError where the chains differ in shape or in their initial law, or where a std is 0.
    """
    if policy.matrices.shape != reference.matrices.shape:
        shapes = tuple(reference.matrices.shape), tuple(policy.matrices.shape)
        raise ValueError(f"policy: expected matrices of shape {shapes[0]}, as the reference, got {shapes[1]}")
    same_mean = torch.allclose(policy.initial_mean, reference.initial_mean)
    if not (same_mean and torch.allclose(policy.initial_covariance, reference.initial_covariance)):
        raise ValueError("policy: expected the reference's initial law, got another one")
    for name, chain in (("policy", policy), ("reference", reference)):
        if not bool((chain.stds > 0).all()):
            raise ValueError(f"{name}: expected stds above 0, got a step without noise")
    means, covariances = (part[:-1] for part in policy.marginals())
    matrices, offsets = policy.matrices - reference.matrices, policy.offsets - reference.offsets
    shift = torch.einsum("tij,tj->ti", matrices, means) + offsets
    squares = shift**2 + torch.einsum("tij,tjk,tik->ti", matrices, covariances, matrices)
    ratio = (policy.stds / reference.stds) ** 2
    return 0.5 * (squares / reference.stds**2 + ratio - 1 - ratio.log()).sum()


def elbo(policy: LinearGaussianChain, oracle: LinearGaussianChain, alpha: float) -> Tensor:
    """E_q[r(x_T)/α] - KL(q || p_ref), (), nats, with the oracle's process as p_ref and its reward as r.

    At most the oracle's `best_elbo` where the stds are the oracle's, and log Z for any. Raises as `path_kl`.
    """
    means, covariances = policy.marginals()
    reward = oracle.reward.quadratic.mean(covariances[-1])(means[-1:])[0]
    return reward / positive(alpha) - path_kl(policy, oracle)
