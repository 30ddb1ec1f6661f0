"""Policies of sequences whose class holds p*: KL(q || p*) of whole paths by enumeration, near 0 after a training."""

import pytest
import torch
from sequence_toys import Enumerated, Table, consistent, exact_elbo, rewards, toy

from svlearn import policies
from svlearn.inference.samplers import smc, svdd
from svlearn.objectives import Distillation, GroupRelativePolicyGradient, PathConsistency, ProximalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

ALPHA = 1.5
TARGET = Target(rewards, ALPHA)
OPTIONS = dict(batch_size=128, num_validation=64)


def exact(process):
    return Learned(Table(4, Enumerated(process, ALPHA).soft[:-1].clone())).requires_grad_(False)


POLICIES = {
    "PPO": lambda p, q: ProximalPolicyGradient(p, TARGET, q, learning_rate=2e-2, **OPTIONS),
    "GRPO": lambda p, q: GroupRelativePolicyGradient(p, TARGET, q, learning_rate=2e-2, **OPTIONS),
    "log-variance": lambda p, q: PathConsistency(
        p, TARGET, None, q, variant="log_variance", learning_rate=2e-2, **OPTIONS
    ),
    "distillation of weighed particles": lambda p, q: Distillation(
        p, TARGET, q, smc(p, TARGET, PosteriorMean(TARGET), 8), law="target", learning_rate=2e-2, **OPTIONS
    ),
    "distillation at the student's states": lambda p, q: Distillation(
        p, TARGET, q, svdd(p, TARGET, exact(p), 6), law="target", roll_in="student", learning_rate=2e-2, **OPTIONS
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_comes_near_p_star_in_divergence(name):
    """KL(q || p*) = log Z - ELBO, of paths: exact, and 0 at the optimum alone."""
    network = consistent()
    network.table.data.clamp_(min=-20.0)
    reference = toy("one_place", network=network)
    policy = policies.Finetuned(reference)
    known = Enumerated(reference, ALPHA)
    fit(POLICIES[name](reference, policy), max_steps=400, enable_progress_bar=False)
    with torch.no_grad():
        before, after = (
            known.log_normalizer - float(exact_elbo(reference, each, ALPHA)) for each in (reference, policy.copy)
        )
    assert -1e-9 < after < 0.05 * before
