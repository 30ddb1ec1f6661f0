"""What a row of a study of digits is measured by, whatever process it draws from."""

import base64
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.digits.problem import classes, judging
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.digits.metrics import diversity
from svlearn.evaluation.report.provenance import provenance
from svlearn.metering import KINDS
from svlearn.policies import Policy
from svlearn.randomness import seeded
from svlearn.rollouts.roll_out import roll_out


def measured(
    sampler: sv.Sampler,
    reference: DiffusersReference,
    labels: Tensor,
    seed: int,
    max_batch: int = 256,
    also: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> dict:
    """Rewards of a sample of each group, the judge's verdicts, diversity, effective sample size, calls and seconds an
    image; of a policy also KL(q || p_ref). labels (B,): the class that each group is asked for. also: more figures of
    each image, functions of images (B, C, H, W) in [0, 1]."""
    generator, start = seeded("cpu", seed), clock()
    samples = sampler.sample(len(labels), condition=labels, generator=generator, max_batch=max_batch)
    spent = since(start)
    states, rewards = samples.draw_with_rewards(generator=generator)
    images = reference.images(states)
    with torch.no_grad():
        said, features = judging()(images), judging().features(images)
    weights = samples.log_weights.double().softmax(dim=1)
    asked = labels.unique()
    first = [int((labels == each).nonzero()[0]) for each in asked]
    pixels = (images[first, 0] * 255).round().to(torch.uint8)
    return {
        "rewards": [round(each, 4) for each in rewards.tolist()],
        "hits": (said.argmax(dim=1) == labels).tolist(),
        "diversity": [diversity(features[labels == each]) for each in asked],
        **{name: [round(each, 4) for each in figure(images).tolist()] for name, figure in (also or {}).items()},
        "ess": (1 / weights.square().sum(dim=1)).mean().item(),
        "particles": weights.shape[1],
        "per_image": {kind: getattr(samples.cost, kind) / len(labels) for kind in KINDS}
        | {each: amount / len(labels) for each, amount in spent.items()},
        **({"kl": divergence(sampler.reference, reference, seed + 1)} if isinstance(sampler.reference, Policy) else {}),
        "first": base64.b64encode(pixels.numpy().tobytes()).decode(),
        "provenance": provenance(),
    }


def divergence(policy: Policy, reference: DiffusersReference, seed: int, number: int = 8) -> tuple[float, float]:
    """KL(q || p_ref) of a policy's trajectories, nats, and its standard error, over `number` of each of ten classes."""
    labels = classes(number)
    drawn = roll_out(reference, len(labels), generator=seeded("cpu", seed), condition=labels, proposal=policy)
    totals = -drawn["log_ratios"].sum(dim=1)
    return totals.mean().item(), (totals.std() / len(totals) ** 0.5).item()
