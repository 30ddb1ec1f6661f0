"""Whole trajectories of what a sampler keeps, traced back along the lineage of every finished particle."""

import math
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from svlearn.inference.resampling import scheme
from svlearn.inference.sampler import Sampler
from svlearn.inference.selection import Global
from svlearn.process import Reference
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.value import Value


def sample_paths(
    sampler: Sampler,
    num_groups: int,
    *,
    condition: Any = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
) -> TensorDict:
    """The trajectories of all finished particles of `num_groups` groups of any sampler, N = groups · K.

    Returns "states" (N, T + 1, ...), those of a group consecutive; "log_weights" (N,), nats, inside their group, where
    the mean weight is 1 (-inf throughout a group that died); with a target "rewards" (N,), reward units; and where the
    sampler estimates it "log_normalizer" (N,), nats, that of the group.

    A path drawn from each group by these weights has the law of what `Samples.draw` gives, as a whole trajectory. For
    `smc` and for `svdd` at α > 0 the mean of exp(log_weights + log_normalizer) f(path) is unbiased for
    Z E_p*[f(x_0 ... x_T)], for any value, proposal and K. Arguments and errors are those of `Sampler.sample`.
    """
    samples = sampler.sample(
        num_groups, condition=condition, generator=generator, max_batch=max_batch, keep_states=True
    )
    size = samples.log_weights.shape[1]
    leaves = {"states": samples.paths(), "log_weights": samples.log_weights + math.log(size)}
    if samples.rewards is not None:
        leaves["rewards"] = samples.rewards
    if samples.log_normalizer is not None:
        leaves["log_normalizer"] = samples.log_normalizer[:, None].expand(-1, size)
    return TensorDict(leaves, batch_size=[num_groups, size]).flatten()


def smc_paths(
    reference: Reference,
    target: Target,
    value: Value,
    num_particles: int,
    *,
    ess_threshold: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[State, Tensor]:
    """x_0 ... x_T (K, T + 1, ...) of the particles of one SMC group, and their log-weights (K,), nats, normalised.

    They target p*(x_0, ..., x_T), and so p*(x_t) at each t; survivors share their early states. -inf throughout
    where all particles died. target.alpha must be > 0. Otherwise as `samplers.smc`.
    """
    selection = Global(scheme("systematic"), ess_threshold)
    sampler = Sampler(reference, target, value, selection, num_particles=num_particles)
    samples = sampler.sample(1, generator=generator, keep_states=True)
    return samples.paths()[0], samples.log_weights[0]
