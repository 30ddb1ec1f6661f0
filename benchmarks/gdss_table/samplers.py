"""The samplers of the table of GDSS, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from tensordict import TensorDict

import svlearn as sv
from benchmarks.gdss.rows import LATE, STARTS, THEN_FREE, UNDENOISED, handover
from benchmarks.gdss.trajectories import SEED
from benchmarks.gdss.values import learned
from benchmarks.gdss_table.reward_network import reward_network

N = 10
STRENGTHS = (10.0, 30.0, 100.0, 300.0)  # nats per unit of reward


@dataclass(frozen=True)
class Row:
    """A sampler, made of (reference, target, the reward's name).

    runs: so many samples are drawn for each that is kept, the one of the largest reward. strengths: `make` takes one
    of them as well, that of the largest mean reward of a batch of its own. stored: made of `trajectories`.
    """

    make: Callable[..., sv.Sampler]
    runs: int = 1
    strengths: tuple[float, ...] = ()
    stored: bool = False


def by_value(number: int, family: str = "monte_carlo", runs: int = 1, training: int = SEED) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, learned(n, family, p, training), p.num_candidates(number)), runs)


class RewardOfState(sv.values.Value):
    """r(x_t), the noisy graph rounded as it stands: all that a network could know of it that does not denoise."""

    def __init__(self, target: sv.Target):
        super().__init__()
        self.target = target

    def forward(
        self,
        x: TensorDict,
        t: torch.Tensor,
        prediction: sv.Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        return self.target.floored(x, t)


def undenoised(number: int) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, RewardOfState(r), p.num_candidates(number)))


def training_free(number: int) -> Row:
    return Row(lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), p.num_candidates(number)))


def at_the_predictor(process: sv.Reference) -> list[int]:
    """N candidates for x_0 and where the predictor draws, the last step apart, which is a Dirac; else one."""
    return [N, *[1, N] * (process.num_steps // 2 - 1), 1, 1]


def late(process: sv.Reference) -> list[int]:
    """N candidates where the corrector draws x_t for t >= LATE, else one."""
    return [number if t >= LATE else 1 for t, number in enumerate(process.num_candidates(N))]


def value_then_reward(family: str, start: int = LATE, training: int = SEED) -> Row:
    """A learned value chooses until t = start, r(x̂_T) from there."""

    def switch(process: sv.Reference, target: sv.Target, name: str) -> sv.Sampler:
        both = learned(name, family, process, training), sv.values.PosteriorMean(target)
        return sv.svdd(process, target, sv.values.Switch(*both, start), process.num_candidates(N))

    return Row(switch)


def posterior_sampling(reference: sv.Reference, target: sv.Target, name: str, strength: float) -> sv.Sampler:
    """DPS: the gradient of r_θ(x̂_T(x_t)) in x_t."""
    guess = sv.values.PosteriorMean(sv.Target(reward_network(name, reference), target.alpha))
    return guided(reference, target, sv.proposals.Guided(guess, strength, at="state"))


def classifier(reference: sv.Reference, target: sv.Target, name: str, strength: float) -> sv.Sampler:
    """The gradient of the learned value at the mean of the step."""
    value = learned(name, "monte_carlo", reference)
    return guided(reference, target, sv.proposals.Guided(value, strength, at="mean"))


def guided(reference: sv.Reference, target: sv.Target, proposal: sv.proposals.Guided) -> sv.Sampler:
    """Single guided samples, as of `sv.guidance`, with their log p_ref/q in their weights."""
    return sv.smc(reference, target, sv.values.Zero(), 1, proposal=proposal)


ROWS = {
    "pretrained": Row(lambda p, r, n: sv.ancestral(p, r)),
    "best-of-10": Row(lambda p, r, n: sv.ancestral(p, r), N, stored=True),
    "SVDD-MC": by_value(10),
    "SVDD-PM": training_free(10),
    "DPS": Row(posterior_sampling, strengths=STRENGTHS),
    "classifier guidance": Row(classifier, strengths=STRENGTHS),
    "SVDD-MC, M = 100": by_value(100),
    "SVDD-PM, M = 2": training_free(2),
    "SVDD-MC, M = 2": by_value(2),
    "SVDD-MC, best of 5": by_value(10, runs=5),
    "SVDD-PM, M = 5": training_free(5),
    "SVDD-MC, M = 30": by_value(30),
    "SVDD, contrastive energy": by_value(10, "contrastive_energy"),
    "SVDD-MC, chosen at the predictor": Row(
        lambda p, r, n: sv.svdd(p, r, learned(n, "monte_carlo", p), at_the_predictor(p))
    ),
    "SVDD-PM, chosen at the predictor": Row(
        lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), at_the_predictor(p))
    ),
    "SVDD, contrastive twist": by_value(10, "contrastive_twist"),
    "SVDD, soft-Q": by_value(10, "soft_q"),
    "SVDD, path consistency": by_value(10, "path_consistency"),
    "SVDD, contrastive twist, M = 100": by_value(100, "contrastive_twist"),
    "SVDD, contrastive twist, best of 5": by_value(10, "contrastive_twist", runs=5),
    UNDENOISED: undenoised(10),
    "SVDD-PM, late": Row(lambda p, r, n: sv.svdd(p, r, sv.values.PosteriorMean(r), late(p))),
    "SVDD-MC, late": Row(lambda p, r, n: sv.svdd(p, r, learned(n, "monte_carlo", p), late(p))),
    f"SVDD-MC, {THEN_FREE}": value_then_reward("monte_carlo"),
    f"SVDD, contrastive twist, {THEN_FREE}": value_then_reward("contrastive_twist"),
    "SVDD, contrastive twist, late": Row(lambda p, r, n: sv.svdd(p, r, learned(n, "contrastive_twist", p), late(p))),
    **{
        handover("SVDD, contrastive twist", start): value_then_reward("contrastive_twist", start)
        for start in STARTS
        if start != LATE
    },
}
