"""What is learned for a task, twists or policies, and the sampler that each makes."""

from collections.abc import Callable
from typing import Any

import torch

import svlearn as sv
from benchmarks.common.clock import clock, since
from benchmarks.stories.texts import PROMPT
from benchmarks.stories_tasks.tasks import reference, target
from svlearn import objectives
from svlearn.domains.language import NextToken, TokenTwists
from svlearn.inference import proposals
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.values import Zero

STEPS, BATCH, RANK = 200, 128, 8
TWISTS: dict[str, Callable[..., Any]] = {
    "contrastive twist": objectives.ContrastiveTwist,
    "soft Q": objectives.SoftQIteration,
    "contrastive energy": objectives.ContrastiveEnergy,
}
POLICIES: dict[str, Callable[..., Any]] = {
    "distributional policy gradient": objectives.DistributionalPolicyGradient,
    "PPO": objectives.ProximalPolicyGradient,
}
METHODS = (*TWISTS, *POLICIES)
Sampler = Callable[[int], sv.Sampler]  # of K particles a group


def untrained(task: str) -> Sampler:
    """The reference itself as the proposal."""
    return lambda number: sv.smc(reference(), target(task), Zero(), number, ess_threshold=0.0)


def train(task: str, method: str, seed: int) -> tuple[Sampler, dict[str, float]]:
    """The sampler of a trained method, and the seconds that the training took."""
    torch.manual_seed(seed)
    process, start = reference(), clock()
    options = {"conditions": process.prompts([PROMPT]), "batch_size": BATCH, "learning_rate": 3e-3}
    trainer = {"max_steps": STEPS, "seed": seed, "enable_progress_bar": False}
    if method in TWISTS:
        value = NextToken(TokenTwists(process.model.config.hidden_size, process.vocabulary, process.num_steps))
        fit(TWISTS[method](process, target(task), value, **options), **trainer)
        value.requires_grad_(False)
        proposal = proposals.Exact(value, last="value")
        return lambda number: sv.smc(process, target(task), value, number, proposal=proposal), since(start)
    policy = Finetuned(process, RANK, condition=[PROMPT])
    fit(POLICIES[method](process, target(task), policy=policy, **options), **trainer)
    policy.requires_grad_(False)
    drawn = proposals.Policy(policy)
    return lambda number: sv.smc(process, target(task), Zero(), number, ess_threshold=0.0, proposal=drawn), since(start)
