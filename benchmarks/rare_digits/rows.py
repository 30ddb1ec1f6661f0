"""The samplers of the study of a rare event, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import svlearn as sv
from benchmarks.rare_digits.problem import NUM_STEPS, process, target
from svlearn.values import PosteriorMean, Zero


@dataclass(frozen=True)
class Row:
    """calls: of a group, a gradient counted as two."""

    make: Callable[[], sv.Sampler]
    calls: int


def particles(number: int, scale: float = 0.0, candidates: int = 1, ess_threshold: float = 0.5) -> Row:
    """Particles that r(x̂_T) weighs, resampled; scale above 0: moved by its gradient, times that; ess_threshold 0:
    never resampled; candidates: each first chooses among as many of its own."""

    def make() -> sv.Sampler:
        value = PosteriorMean(target())
        proposal = sv.proposals.Guided(value, scale) if scale > 0 else None
        return sv.smc(
            process(),
            target(),
            value,
            number,
            ess_threshold=ess_threshold,
            proposal=proposal,
            num_candidates=candidates,
        )

    return Row(make, number * candidates * NUM_STEPS * (3 if scale > 0 else 1))


def plain(number: int) -> Row:
    """Samples of the reference, weighed by exp(r) at the end."""
    return Row(lambda: sv.smc(process(), target(), Zero(), number, ess_threshold=0), number * NUM_STEPS)


def local(candidates: int) -> Row:
    """SVDD at alpha = 1: the product over steps of the mean increments of the candidates is unbiased in Z."""
    return Row(lambda: sv.svdd(process(), target(), PosteriorMean(target()), candidates), candidates * (NUM_STEPS + 1))


ROWS = {
    "plain importance sampling, K = 64": plain(64),
    "importance sampling, guided, K = 64": particles(64, scale=1.0, ess_threshold=0),
    "SVDD-PM, M = 8": local(8),
    "SVDD-PM, M = 64": local(64),
    "SMC, K = 16": particles(16),
    "SMC, K = 64": particles(64),
    "SMC of SVDD-PM, K = 16, M = 4": particles(16, candidates=4),
    "TDS, K = 4": particles(4, scale=1.0),
    "TDS, K = 16": particles(16, scale=1.0),
    "TDS, K = 64": particles(64, scale=1.0),
    "TDS, scale 0.25, K = 16": particles(16, scale=0.25),
    "TDS, scale 0.25, K = 64": particles(64, scale=0.25),
}
