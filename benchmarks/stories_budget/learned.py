"""What is learned for a task, a twist of all next tokens and a policy of adapters, and what that costs."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common.clock import clock, since
from benchmarks.stories.texts import PROMPT
from benchmarks.stories_budget.tasks import reference, target
from svlearn import objectives
from svlearn.domains.language import NextToken, TokenTwists
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned
from svlearn.process import Reference

TWIST_STEPS, POLICY_STEPS, BATCH, RANK, TIMES, SEED = 64, 48, 128, 8, 10, 1
POLICIES: dict[str, Callable[..., Any]] = {  # PPO needs a finite reward
    "sentiment": objectives.ProximalPolicyGradient,
    "constraint": objectives.DistributionalPolicyGradient,
}


def twist(task: str) -> tuple[NextToken, dict[str, float]]:
    """A head of all next tokens by contrast, and what its training cost."""
    torch.manual_seed(SEED)
    process = reference()
    value = NextToken(TokenTwists(process.model.config.hidden_size, process.vocabulary, process.num_steps))
    objective = objectives.ContrastiveTwist(process, target(task), value, num_times=TIMES, **_options())
    return value, _trained(objective, value, TWIST_STEPS, process)


def policy(task: str) -> tuple[Finetuned, dict[str, float]]:
    """Adapters of the model, and what their training cost."""
    torch.manual_seed(SEED)
    process = reference()
    tuned = Finetuned(process, RANK, condition=[PROMPT])
    objective = POLICIES[task](process, target(task), tuned, **_options())
    return tuned, _trained(objective, tuned, POLICY_STEPS, process, tuned.copy)


def positions_of(*processes: Reference) -> int:
    """The token positions that these have computed so far."""
    return sum(int(each.positions) for each in processes)  # type: ignore[arg-type]


def _options() -> dict[str, Any]:
    return {"conditions": reference().prompts([PROMPT]), "batch_size": BATCH, "learning_rate": 3e-3}


def _trained(objective: Any, part: torch.nn.Module, steps: int, *processes: Reference) -> dict[str, float]:
    start, before = clock(), positions_of(*processes)
    fit(objective, max_steps=steps, seed=SEED, enable_progress_bar=False)
    part.requires_grad_(False)
    return since(start) | {"positions": float(positions_of(*processes) - before)}
