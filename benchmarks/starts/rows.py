"""The samplers of the study: each with plain starts and with starts that know the reward, at equal network calls."""

from dataclasses import dataclass

import svlearn as sv
from benchmarks.starts.problems import STEPS, Problem
from svlearn.inference.starts import CrankNicolson
from svlearn.values import PosteriorMean

CALLS = 320  # of the network for a group, a gradient counted as two
LEVELS, MOVES = 4, 2  # of the starts
PLAIN, BY_NOISE, BY_GRADIENT = "plain starts", "Crank-Nicolson", "Crank-Nicolson, gradient"
DRIFTS = {BY_NOISE: "none", BY_GRADIENT: "gradient"}
MOVE_SIZES = {BY_NOISE: 0.3, BY_GRADIENT: 0.6}  # `step` of the moves


@dataclass(frozen=True)
class Row:
    """sampler: "smc" or "svdd"; start: one of the three."""

    sampler: str
    start: str

    @property
    def size(self) -> int:
        """Particles of SMC, or candidates of SVDD, that the calls allow."""
        looks = 0 if self.start == PLAIN else 1 + LEVELS * MOVES
        slopes = looks if self.start == BY_GRADIENT else 0
        return CALLS // (STEPS + looks + 2 * slopes)

    def make(self, problem: Problem) -> sv.Sampler:
        start = None
        if self.start != PLAIN:
            start = CrankNicolson(levels=LEVELS, num_moves=MOVES, step=MOVE_SIZES[self.start], drift=DRIFTS[self.start])
        sampler = {"smc": sv.smc, "svdd": sv.svdd}[self.sampler]
        return sampler(problem.reference, problem.target, PosteriorMean(problem.target), self.size, start=start)


ROWS = {
    f"{name}, {start}": Row(sampler, start)
    for sampler, name in (("smc", "SMC"), ("svdd", "SVDD"))
    for start in (PLAIN, BY_NOISE, BY_GRADIENT)
}
