"""Next-token values and adapters that are trained on a problem, and how near they come to the exact ones."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.clock import clock, since
from benchmarks.stories_truth.problem import conditions, reference, target, texts
from svlearn import objectives
from svlearn.domains.language import NextToken, TokenTwists
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned, Policy

VALUE_STEPS, POLICY_STEPS, BATCH, RANK, WIDTH = 300, 200, 256, 8, 128
OPTIONS: dict[str, Any] = {"batch_size": BATCH, "learning_rate": 3e-3}

VALUES: dict[str, Callable[..., Any]] = {
    "Monte Carlo": lambda *given, **options: objectives.MonteCarloRegression(*given, estimand="soft", **options),
    "soft Q": objectives.SoftQIteration,
    "contrastive twist": objectives.ContrastiveTwist,
    "contrastive energy": objectives.ContrastiveEnergy,
}
POLICIES: dict[str, Callable[..., Any]] = {
    "PPO": objectives.ProximalPolicyGradient,
    "path consistency": lambda *given, **options: objectives.PathConsistency(*given, variant="log_variance", **options),
    "distributional policy gradient": objectives.DistributionalPolicyGradient,
}
OF_CONSTRAINTS = ("distributional policy gradient",)  # the others need a finite reward


def train_value(problem: str, family: str, seed: int) -> tuple[NextToken, dict[str, float]]:
    """A trained value, and the seconds it took."""
    torch.manual_seed(seed)
    process = reference()
    value = NextToken(TokenTwists(process.model.config.hidden_size, process.vocabulary, process.num_steps, WIDTH))
    start = clock()
    objective = VALUES[family](process, target(problem), value, conditions=conditions(problem), **OPTIONS)
    fit(objective, max_steps=VALUE_STEPS, seed=seed, enable_progress_bar=False)
    return value.requires_grad_(False), since(start)


def train_policy(problem: str, family: str, seed: int) -> tuple[Policy, dict[str, float]]:
    """A trained policy of adapters, and the seconds it took."""
    torch.manual_seed(seed)
    policy = Finetuned(reference(), RANK, condition=conditions(problem))
    start = clock()
    objective = POLICIES[family](reference(), target(problem), policy=policy, conditions=conditions(problem), **OPTIONS)
    fit(objective, max_steps=POLICY_STEPS, seed=seed, enable_progress_bar=False)
    return policy.requires_grad_(False), since(start)


@torch.no_grad()
def r2(problem: str, value: NextToken) -> dict[str, float | None]:
    """Of v_1 over all texts of one token, weighted by p_ref and by p*, up to a constant; None under p_ref where a text
    has no value, for nothing that follows it meets the constraint."""
    exact, level = texts(problem), texts(problem).levels[1]
    t = torch.ones(len(level.log_probs), dtype=torch.long)
    learned = value(level.states, t, reference()(level.states, t)).double()
    found: dict[str, float | None] = {}
    for name, log_weights in (("p_ref", level.log_probs), ("p*", exact.log_target_at(1))):
        weights, known = log_weights.exp(), exact.soft_values[1]
        possible = known > -math.inf
        if float(weights[~possible].sum()) > 0:
            found[name] = None
            continue
        found[name] = _r2(learned[possible], known[possible], weights[possible])
    return found


@torch.no_grad()
def divergences(problem: str, policy: Policy) -> dict[str, float | None]:
    """KL(q || p*), None where it is infinite, and KL(p* || q), nats, of a policy's texts, exactly."""
    exact = texts(problem)
    own = torch.zeros(1, dtype=torch.float64)
    for t in range(reference().num_steps):
        level, after = exact.levels[t], exact.levels[t + 1]
        law = policy(level.states, torch.full((len(level.log_probs),), t)).transition
        own = own[after.parents] + law[after.parents].log_prob(after.states)
    log_target, possible = exact.log_target, exact.log_target > -math.inf
    outside = float(own[~possible].exp().sum())
    return {
        "q_from_target": None if outside > 0 else float((own.exp() * (own - log_target)).sum()),
        "target_from_q": float((log_target.exp() * (log_target - own))[possible].sum()),
        "outside": outside,
    }


def _r2(learned: Tensor, exact: Tensor, weights: Tensor) -> float:
    weights = weights / weights.sum()
    error = learned - exact
    error = error - (weights * error).sum()
    spread = exact - (weights * exact).sum()
    return 1 - float((weights * error**2).sum() / (weights * spread**2).sum())
