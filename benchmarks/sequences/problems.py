"""The problems of the study of sequences: a reference, a reward, and the judges that the reward does not know."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from torch import Tensor, nn

import svlearn as sv
from svlearn.domains.sequences.data import tokens
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.rewards import MPRADragoNN, Optimus5Prime, Regression, Stability
from svlearn.scoring import ScoredReward

NUM_STEPS, SCHEDULE = 128, "log_linear"
STRIDE = 26  # of the windows of MPRA-DragoNN: the two ends of 171 letters


@dataclass(frozen=True)
class Problem:
    """A reward on samples of a shipped reference.

    spread: a round number near the standard deviation of the reward of its samples, in whose unit strengths and alphas
    are chosen. differentiable: in soft one-hots; if not, gradients are those of a learned value. judges: others'
    figures of the same sequences, by what they are called.
    """

    name: str
    title: str
    reference: str
    reward: Callable[[], Callable[[Tensor], Tensor]]
    unit: str
    spread: float
    differentiable: bool = True
    judges: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)

    @property
    def alpha(self) -> float:
        """Of SMC, TDS, the policies and their like."""
        return self.spread / 4

    def target(self, alpha: float = 0.0) -> sv.Target:
        return sv.Target(self.reward(), alpha)

    def data(self) -> tuple[Tensor, Tensor]:
        """The training and the held-out sequences of the reference, token ids."""
        return tokens(self.reference)


PROBLEMS = {
    each.name: each
    for each in (
        Problem(
            "mrl",
            "Mean ribosome load of 5'UTRs, 50 nt",
            "utr5",
            lambda: Regression("mrl"),
            "ribosomes, by svlearn's own regressor",
            1.2,
            judges={"Optimus 5-Prime": Optimus5Prime},
        ),
        Problem(
            "stability",
            "Stability of 5'UTRs as RNA, 50 nt",
            "utr5",
            lambda: Stability(num_workers=1),
            "minus the minimum free energy, kcal/mol, by ViennaRNA",
            4.0,
            differentiable=False,
            judges={"mean ribosome load": lambda: Regression("mrl")},
        ),
        Problem(
            "hepg2",
            "Activity of enhancers in HepG2 cells, 171 nt",
            "hepg2",
            lambda: MPRADragoNN("HepG2", "SV40p", stride=STRIDE),
            "standard deviations of the training data of MPRA-DragoNN",
            0.2,
            judges={
                "own regressor of lentiMPRA": lambda: Regression("hepg2-activity"),
                "MPRA-DragoNN in K562": lambda: MPRADragoNN("K562", "SV40p", stride=STRIDE),
            },
        ),
    )
}


@cache
def process(reference: str) -> MaskedDiffusion:
    """The shipped reference in T = 128 steps."""
    return sv.load(reference).with_steps(NUM_STEPS, SCHEDULE)


def close(target: sv.Target) -> None:
    """End the workers of a reward that has some."""
    if isinstance(target.reward, ScoredReward):
        target.reward.scorer.close()
