"""The objectives that are compared, each made of a task and a policy, with what all of them share."""

from collections.abc import Callable
from typing import Any

import svlearn as sv
from benchmarks.policy_objectives.tasks import TASKS, Task, candidates, looking_ahead, reference, target
from svlearn.objectives import (
    AdjointMatching,
    Distillation,
    ForwardProcessPolicy,
    GroupRelativePolicyGradient,
    PathConsistency,
    ProximalPolicyGradient,
)
from svlearn.objectives.policy_objective import PolicyObjective
from svlearn.policies import Policy

GROUP = 8  # of GRPO
MINIBATCHES, EPOCHS = 2, 2  # of GRPO and PPO: an iteration draws two batches, and learns twice from each
BETA, DECAY = 2.0, (0.001, 0.5)  # of NFT, as configs/sequences/utr5 has it
ROUNDS = 4  # of reward-weighted denoising
CANDIDATES, REPLAY = 10, 0.75  # of distillation: M of its teacher, and the share of a batch that was drawn before


def grpo(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    options = {"num_minibatches": MINIBATCHES, "num_epochs": EPOCHS, "num_times": TASKS[name].times}
    return GroupRelativePolicyGradient(reference(name), target(name), policy, group_size=GROUP, **options, **shared)


def ppo(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    options = {"num_minibatches": MINIBATCHES, "num_epochs": EPOCHS, "num_times": TASKS[name].times}
    return ProximalPolicyGradient(reference(name), target(name), policy, **options, **shared)


def nft(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    options = {"variant": "nft", "beta": BETA, "decay": DECAY, "num_times": TASKS[name].times}
    return ForwardProcessPolicy(reference(name), target(name), policy, **options, **shared)


def reward_weighted(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    task, steps = TASKS[name], reference(name).num_steps
    of_a_step = task.batch * (steps + looked_at(task, steps))
    options = {
        "variant": "reward_weighted",
        "num_rounds": ROUNDS,
        "steps_per_round": max(1, task.calls // of_a_step // ROUNDS),
        "num_times": task.times,
    }
    return ForwardProcessPolicy(reference(name), target(name), policy, **options, **shared)


def adjoint_matching(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    return AdjointMatching(reference(name), target(name), policy, check_memory=False, **shared)


def trajectory_balance(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    """Over whole paths, by the variance among them, so that no log Z is to be learned."""
    options = {"variant": "log_variance", "shared_start": TASKS[name].shared_start}
    return PathConsistency(reference(name), target(name), policy=policy, **options, **shared)


def distillation(name: str, policy: Policy, shared: dict[str, Any]) -> PolicyObjective:
    options = {"replay": REPLAY, "num_times": TASKS[name].times}
    return Distillation(reference(name), target(name), policy, teacher(name), **options, **shared)


def teacher(name: str) -> sv.Sampler:
    """SVDD at alpha = 0; of texts, where a roll-out is too noisy to choose by, the best of as many."""
    greedy = target(name, 0.0)
    if TASKS[name].looks:
        return sv.best_of_n(reference(name), greedy, CANDIDATES)
    return sv.svdd(reference(name), greedy, looking_ahead(name, greedy), candidates(name, CANDIDATES))


FAMILIES: dict[str, Callable[[str, Policy, dict[str, Any]], PolicyObjective]] = {
    "GRPO": grpo,
    "PPO (DDPO)": ppo,
    "NFT": nft,
    "reward-weighted": reward_weighted,
    "adjoint matching": adjoint_matching,
    "trajectory balance": trajectory_balance,
    "distillation": distillation,
}


def looked_at(task: Task, steps: int) -> int:
    """At how many moves of a trajectory."""
    return steps if task.times is None else task.times


def families_of(name: str) -> list[str]:
    """Those that apply to a task."""
    return [family for family in FAMILIES if family not in TASKS[name].absent]


def objective(name: str, family: str, policy: Policy, rate: float) -> PolicyObjective:
    """The objective of a family on a task, at a learning rate."""
    task = TASKS[name]
    shared: dict[str, Any] = {"batch_size": task.batch, "learning_rate": rate}
    if task.prompt is not None:
        shared["conditions"] = reference(name).prompts([task.prompt])
    return FAMILIES[family](name, policy, shared)
