"""The samplers of the study of digits, row by row: each is made of an alpha."""

from collections.abc import Callable
from dataclasses import dataclass

import svlearn as sv
from benchmarks.digits.heads import head
from benchmarks.digits.problem import channels_last, flow, process, target
from benchmarks.digits.trained import POLICIES, VALUES, learned, policy
from svlearn.domains.images import DiffusersReference
from svlearn.values import PosteriorMean, Zero

M, PER_CLASS, BY_FLOW_PER_CLASS = 8, 8, 4
FREE, TRAINED = "training-free", "trained"
BY_FLOW = "flow, "  # what the names of the rows of the twin begin with

Process = Callable[[], DiffusersReference]
Make = Callable[[float], sv.Sampler]


@dataclass(frozen=True)
class Row:
    """make: of an alpha. number: images of each class. fixed: whether it is the same for every alpha. of: the process
    that it draws from."""

    make: Make
    needs: str = FREE
    number: int = PER_CLASS
    fixed: bool = False
    of: Process = process


def pretrained(of: Process = process) -> Make:
    return lambda alpha: sv.ancestral(of(), target(alpha, of))


def conditional(scale: float) -> Make:
    """The class-conditional model, which was told the classes in its own training."""
    return lambda alpha: sv.ancestral(process(True, scale), target(alpha))


def posterior_sampling(of: Process = process) -> Make:
    """DPS: single samples, moved by the gradient of r(x̂_T)/alpha in x_t."""

    def make(alpha: float) -> sv.Sampler:
        proposal = sv.proposals.Guided(PosteriorMean(target(alpha, of)))
        return sv.smc(of(), target(alpha, of), Zero(), 1, proposal=proposal)

    return make


def twisted(particles: int, of: Process = process) -> Make:
    """TDS: particles moved by that gradient and weighed by r(x̂_T)."""

    def make(alpha: float) -> sv.Sampler:
        value = PosteriorMean(target(alpha, of))
        return sv.smc(of(), target(alpha, of), value, particles, proposal=sv.proposals.Guided(value))

    return make


def free(of: Process = process) -> Make:
    return lambda alpha: sv.svdd(of(), target(alpha, of), PosteriorMean(target(alpha, of)), M)


def by_value(kind: str) -> Make:
    return lambda alpha: sv.svdd(process(), target(alpha), learned(kind), M)


def by_head(alpha: float) -> sv.Sampler:
    return sv.svdd(channels_last(), target(alpha), head(), M)


def alone(kind: str) -> Make:
    return lambda alpha: sv.ancestral(policy(kind, alpha), target(alpha))


def proposing(kind: str) -> Make:
    """Particles that the policy moves, weighed by r(x̂_T) and by what it moves them too far or too little."""

    def make(alpha: float) -> sv.Sampler:
        proposal = sv.proposals.Policy(policy(kind, alpha))
        return sv.smc(process(), target(alpha), PosteriorMean(target(alpha)), 4, proposal=proposal)

    return make


ROWS = {
    "pretrained": Row(pretrained(), fixed=True),
    "class-conditional model": Row(conditional(1.0), TRAINED, fixed=True),
    "class-conditional model, guidance 2": Row(conditional(2.0), TRAINED, fixed=True),
    "DPS": Row(posterior_sampling()),
    f"SVDD-PM, M = {M}": Row(free()),
    **{f"SVDD, value of {kind}": Row(by_value(kind), TRAINED) for kind in VALUES},
    "SVDD, head on the denoiser's features": Row(by_head, TRAINED, of=channels_last),
    "TDS, K = 2": Row(twisted(2)),
    "TDS, K = 8": Row(twisted(8)),
    **{f"policy, {kind}": Row(alone(kind), TRAINED) for kind in POLICIES},
    **{f"SMC, K = 4, of {kind}": Row(proposing(kind), TRAINED) for kind in POLICIES},
    "TDS, K = 64": Row(twisted(64), number=2),
    **{
        f"{BY_FLOW}{name}": Row(make, number=BY_FLOW_PER_CLASS, fixed=name == "pretrained", of=flow)
        for name, make in {
            "pretrained": pretrained(flow),
            "DPS": posterior_sampling(flow),
            f"SVDD-PM, M = {M}": free(flow),
            "TDS, K = 8": twisted(8, flow),
        }.items()
    },
}
