"""Classifier-free guidance: a network with and without its condition, in one call."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised

Network = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Denoised]


def classifier_free(
    network: Network,
    sample: Tensor,
    timesteps: Tensor,
    conditions: Mapping[str, Tensor],
    null: Mapping[str, Tensor],
    scale: float,
    guided: Tensor | None = None,
) -> Denoised:
    """out_null + scale (out_condition - out_null), arXiv 2207.12598 with w = scale - 1: two evaluations of the network,
    in one call on both halves; one where scale is 1.

    conditions, null: (B, ...) each. guided: which rows (B,), bool, have a condition that differs from null; the others
    take one evaluation. The features are those under the condition."""
    if scale == 1:
        return network(sample, timesteps, conditions)
    rows = torch.arange(len(sample), device=sample.device) if guided is None else guided.nonzero().flatten()
    if len(rows) == 0:
        return network(sample, timesteps, conditions)
    both = {name: torch.cat([each, null[name][rows]]) for name, each in conditions.items()}
    said = network(torch.cat([sample, sample[rows]]), torch.cat([timesteps, timesteps[rows]]), both)
    output, without = said.output[: len(sample)], said.output[len(sample) :]
    if len(rows) == len(sample):
        output = without + scale * (output - without)
    else:
        output = output.index_put((rows,), without + scale * (output[rows] - without))
    evaluations = torch.ones(len(sample), dtype=torch.long, device=sample.device).index_fill(0, rows, 2)
    features = None if said.features is None else said.features[: len(sample)]
    return Denoised(output, features, evaluations)
