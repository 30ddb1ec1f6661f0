"""Policies on the forward process raise a reward on the shipped 5'UTRs, from samples and their rewards alone."""

import math

import pytest
import torch

import svlearn as sv
from svlearn.domains.sequences.rewards import GCContent
from svlearn.objectives import ForwardProcessPolicy
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.rollouts import roll_out

TARGET = sv.Target(GCContent(), 0.03)
OPTIONS = dict(batch_size=48, num_times=4, learning_rate=1e-3)
VARIANTS = {"reward-weighted": dict(), "nft": dict(variant="nft", beta=2.0, decay=(0.001, 0.5))}


def rewards_of(process: Reference) -> torch.Tensor:
    """Of trajectories whose noise is the same for every process."""
    return roll_out(process, 96, target=TARGET, generator=seeded("cpu", 7))["rewards"].double()


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_the_share_of_g_and_c_rises(name):
    """By more than three standard errors of the difference on the same noise."""
    reference = sv.load("utr5")
    policy = Finetuned(reference)
    objective = ForwardProcessPolicy(reference, TARGET, policy, **OPTIONS, **VARIANTS[name])
    fit(objective, max_steps=10, enable_progress_bar=False)
    gains = rewards_of(policy) - rewards_of(reference)
    assert gains.mean() > 3 * gains.std() / math.sqrt(len(gains)) > 0
