"""The policies of the study of sequences: fine-tuned copies of the reference."""

from collections.abc import Callable

import svlearn as sv
from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock
from benchmarks.sequences.problems import PROBLEMS, Problem, close, process
from benchmarks.sequences.trained import NUM_TRAJECTORIES, RUNS, SEED, note
from svlearn.checkpoints import load_policy, save
from svlearn.fingerprint import fingerprint
from svlearn.objectives import Objective, PathConsistency, ProximalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.policies import Finetuned, Policy

RATE = 1e-3
MINIBATCH, NUM_MINIBATCHES, NUM_EPOCHS, NUM_TIMES = 64, 2, 3, 4  # of PPO
BATCH = 32  # of path consistency: trajectories of the policy, at all of their steps


def proximal(problem: Problem, policy: Policy) -> Objective:
    return ProximalPolicyGradient(
        process(problem.reference),
        problem.target(problem.alpha),
        policy,
        batch_size=MINIBATCH,
        num_minibatches=NUM_MINIBATCHES,
        num_epochs=NUM_EPOCHS,
        num_times=NUM_TIMES,
        normalize_advantages=True,
        learning_rate=RATE,
    )


def path_consistency(problem: Problem, policy: Policy) -> Objective:
    """Log-variance: trajectory balance without a scalar to be learned, as all start from one x_0."""
    given = dict(variant="log_variance", batch_size=BATCH, learning_rate=RATE)
    return PathConsistency(process(problem.reference), problem.target(problem.alpha), policy=policy, **given)


FAMILIES: dict[str, tuple[Callable[[Problem, Policy], Objective], int]] = {
    "ppo": (proximal, NUM_TRAJECTORIES // MINIBATCH * NUM_EPOCHS),
    "path_consistency": (path_consistency, NUM_TRAJECTORIES // BATCH),
}


def policy(name: str, family: str) -> sv.Reference:
    """The policy of a family for a problem, trained where there is none yet, on as many trajectories as the values."""
    problem, file = PROBLEMS[name], RUNS / name / f"{family}.safetensors"
    reference, (make, steps) = process(problem.reference), FAMILIES[family]
    made_of = {"steps": steps, "trajectories": NUM_TRAJECTORIES, "rate": RATE, "alpha": problem.alpha}
    if missing(file, reference=fingerprint(reference), seed=SEED, **made_of):
        objective = make(problem, Finetuned(reference))
        start = clock()
        fit(objective, max_steps=steps, seed=SEED, enable_progress_bar=False)
        note(file, start)
        close(objective.target)
        save(objective.policy, file, reference=fingerprint(reference), num_steps=reference.num_steps)
    return load_policy(Finetuned(reference), file, reference)
