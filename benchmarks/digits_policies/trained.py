"""The policies of the study, a file each in runs/digits_policies."""

from collections.abc import Callable

import torch

from benchmarks.common.artifacts import missing
from benchmarks.common.clock import clock
from benchmarks.common.paths import RUNS as ALL_RUNS
from benchmarks.digits.problem import ALPHAS, CLASSES
from benchmarks.digits.trained import note
from benchmarks.digits_policies.problem import NUM_STEPS, process, target
from benchmarks.digits_policies.steering import Steered
from svlearn.checkpoints import load_policy, save
from svlearn.fingerprint import fingerprint
from svlearn.objectives import AdjointMatching, PathConsistency, ProximalPolicyGradient
from svlearn.objectives.fit import fit
from svlearn.objectives.policy_objective import PolicyObjective

RUNS = ALL_RUNS / "digits_policies"
SEED = 0
FIRST = ALPHAS[1]  # trained from p_ref; the policies of the other alphas go on from this one, half as long
DIGITS = torch.arange(CLASSES)


def adjoint(alpha: float, policy: Steered) -> PolicyObjective:
    options = dict(conditions=DIGITS, batch_size=20, learning_rate=0.05, check_memory=False)
    return AdjointMatching(process(), target(alpha), policy, **options)


def proximal(alpha: float, policy: Steered) -> PolicyObjective:
    return ProximalPolicyGradient(
        process(),
        target(alpha),
        policy,
        conditions=DIGITS,
        batch_size=40,
        num_minibatches=1,
        num_epochs=4,
        num_times=5,
        normalize_advantages=True,
        learning_rate=0.02,
    )


def balance(alpha: float, policy: Steered) -> PolicyObjective:
    """Log-variance among trajectories that share start and class, so that no log Z is to be learned."""
    return PathConsistency(
        process(),
        target(alpha),
        policy=policy,
        variant="log_variance",
        shared_start=8,
        conditions=DIGITS,
        batch_size=40,
        learning_rate=0.03,
    )


POLICIES: dict[str, tuple[Callable[[float, Steered], PolicyObjective], int]] = {
    "adjoint matching": (adjoint, 24),
    "DDPO": (proximal, 80),
    "trajectory balance": (balance, 24),
}


def policy(kind: str, alpha: float) -> Steered:
    """The policy of an objective at an alpha, of all classes, trained where there is none yet."""
    file = RUNS / f"{kind.replace(' ', '_')}_{alpha:g}.safetensors"
    make, steps = POLICIES[kind]
    own = Steered(process(), target(alpha))
    if alpha != FIRST:
        steps = steps // 2
        own.gains.data.copy_(policy(kind, FIRST).gains)
    objective = make(alpha, own)
    settings = {"steps": steps, "rate": objective.learning_rate, "alpha": alpha, "seed": SEED}
    if missing(file, reference=fingerprint(process()), **settings):
        start = clock()
        fit(objective, max_steps=steps, seed=SEED, enable_progress_bar=False)
        note(file, start)
        save(own, file, reference=fingerprint(process()), num_steps=NUM_STEPS)
    return load_policy(Steered(process(), target(alpha)), file, process())
