"""The samplers of the study of policies on digits, row by row: each is made of an alpha."""

from collections.abc import Callable
from dataclasses import dataclass

import svlearn as sv
from benchmarks.digits_policies.problem import process, target
from benchmarks.digits_policies.trained import POLICIES, policy
from svlearn.values import PosteriorMean

M, K, OF_POLICY = 8, 8, 4


@dataclass(frozen=True)
class Row:
    """make: of an alpha. kind: of the policy that it draws from or proposes by, None without one. fixed: whether it is
    the same for every alpha."""

    make: Callable[[float], sv.Sampler]
    kind: str | None = None
    fixed: bool = False


def pretrained(alpha: float) -> sv.Sampler:
    return sv.ancestral(process(), target(alpha))


def free(alpha: float) -> sv.Sampler:
    return sv.svdd(process(), target(alpha), PosteriorMean(target(alpha)), M)


def twisted(alpha: float) -> sv.Sampler:
    """Particles moved by the gradient of r(x̂_T)/alpha in x_t, and weighed by r(x̂_T)."""
    value = PosteriorMean(target(alpha))
    return sv.smc(process(), target(alpha), value, K, proposal=sv.proposals.Guided(value))


def alone(kind: str) -> Callable[[float], sv.Sampler]:
    return lambda alpha: sv.ancestral(policy(kind, alpha), target(alpha))


def proposing(kind: str) -> Callable[[float], sv.Sampler]:
    """Particles that the policy moves, weighed by r(x̂_T) and by log p_ref - log q."""

    def make(alpha: float) -> sv.Sampler:
        proposal = sv.proposals.Policy(policy(kind, alpha))
        return sv.smc(process(), target(alpha), PosteriorMean(target(alpha)), OF_POLICY, proposal=proposal)

    return make


ROWS = {
    "pretrained": Row(pretrained, fixed=True),
    f"SVDD-PM, M = {M}": Row(free),
    f"TDS, K = {K}": Row(twisted),
    **{kind: Row(alone(kind), kind) for kind in POLICIES},
    **{f"SMC, K = {OF_POLICY}, of {kind}": Row(proposing(kind), kind) for kind in POLICIES},
}
