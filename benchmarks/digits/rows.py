"""The samplers of the study of digits, row by row: each is made of an alpha."""

from collections.abc import Callable
from dataclasses import dataclass

import svlearn as sv
from benchmarks.digits.problem import process, target
from benchmarks.digits.trained import POLICIES, VALUES, learned, policy
from svlearn.values import PosteriorMean, Zero

M, PER_CLASS = 8, 8
FREE, TRAINED = "training-free", "trained"


@dataclass(frozen=True)
class Row:
    """make: of an alpha. number: images of each class. fixed: whether it is the same for every alpha."""

    make: Callable[[float], sv.Sampler]
    needs: str = FREE
    number: int = PER_CLASS
    fixed: bool = False


def pretrained(alpha: float) -> sv.Sampler:
    return sv.ancestral(process(), target(alpha))


def conditional(scale: float) -> Callable[[float], sv.Sampler]:
    """The class-conditional model, which was told the classes in its own training."""
    return lambda alpha: sv.ancestral(process(True, scale), target(alpha))


def posterior_sampling(alpha: float) -> sv.Sampler:
    """DPS: single samples, moved by the gradient of r(x̂_T)/alpha in x_t."""
    proposal = sv.proposals.Guided(PosteriorMean(target(alpha)))
    return sv.smc(process(), target(alpha), Zero(), 1, proposal=proposal)


def twisted(particles: int) -> Callable[[float], sv.Sampler]:
    """TDS: particles moved by that gradient and weighed by r(x̂_T)."""

    def make(alpha: float) -> sv.Sampler:
        value = PosteriorMean(target(alpha))
        return sv.smc(process(), target(alpha), value, particles, proposal=sv.proposals.Guided(value))

    return make


def free(alpha: float) -> sv.Sampler:
    return sv.svdd(process(), target(alpha), PosteriorMean(target(alpha)), M)


def by_value(kind: str) -> Callable[[float], sv.Sampler]:
    return lambda alpha: sv.svdd(process(), target(alpha), learned(kind), M)


def alone(kind: str) -> Callable[[float], sv.Sampler]:
    return lambda alpha: sv.ancestral(policy(kind, alpha), target(alpha))


def proposing(kind: str) -> Callable[[float], sv.Sampler]:
    """Particles that the policy moves, weighed by r(x̂_T) and by what it moves them too far or too little."""

    def make(alpha: float) -> sv.Sampler:
        proposal = sv.proposals.Policy(policy(kind, alpha))
        return sv.smc(process(), target(alpha), PosteriorMean(target(alpha)), 4, proposal=proposal)

    return make


ROWS = {
    "pretrained": Row(pretrained, fixed=True),
    "class-conditional model": Row(conditional(1.0), TRAINED, fixed=True),
    "class-conditional model, guidance 2": Row(conditional(2.0), TRAINED, fixed=True),
    "DPS": Row(posterior_sampling),
    f"SVDD-PM, M = {M}": Row(free),
    **{f"SVDD, value of {kind}": Row(by_value(kind), TRAINED) for kind in VALUES},
    "TDS, K = 2": Row(twisted(2)),
    "TDS, K = 8": Row(twisted(8)),
    **{f"policy, {kind}": Row(alone(kind), TRAINED) for kind in POLICIES},
    **{f"SMC, K = 4, of {kind}": Row(proposing(kind), TRAINED) for kind in POLICIES},
    "TDS, K = 64": Row(twisted(64), number=2),
}
