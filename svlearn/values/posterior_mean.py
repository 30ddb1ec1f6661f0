"""The training-free values: the reward of the predicted finished sample, or of several drawn from its law."""

from typing import Any

import torch
from torch import Tensor

from svlearn.arguments import is_integer
from svlearn.process import Prediction
from svlearn.reward import is_asynchronous
from svlearn.state import State, concatenate
from svlearn.targets import Target
from svlearn.values.estimate import estimand_of, estimate
from svlearn.values.value import Value


class PosteriorMean(Value):
    """v_t(x_t) ≈ r(x̂_T(x_t)), (B,), reward units: SVDD-PM (arXiv 2408.08252, algorithm 3) and DPS.

    num_samples: n, for the rewards r_i of n draws of x̂_T ~ `prediction.clean_law` in the place of that of the one
    point `prediction.clean`: α log (1/n) Σ exp(r_i/α) (estimand "soft", the default for α > 0) or (1/n) Σ r_i ("mean",
    the default for α = 0). It is then random, and a sampler draws it once per particle. As n grows it tends to the
    value of the process that jumps from x_t to the end by that law: the soft value itself where the law is exact.
    It costs n reward calls a state, and no reference call unless the law itself makes some (a text's, token by token).

    Take num_samples where there is a `clean_law`, as for tokens and graphs: the point is then made of the most probable
    token of each place, a sample that may itself be most improbable, and says little of the reward. A few draws say
    more, also of how sure the network is; for continuous states the point is the mean, and smooth rewards fare well.

    An `asynchronous` reward is asked for in pieces, in a thread beside the network (n None only).
    The point's reward, or the soft value, is raised to the target's `floor` where it is below (-inf of a constraint):
    x̂_T is only a guess at t < T.
    Raises ValueError where the reference predicts no clean sample, or no law of it, for n < 1, an unknown estimand,
    the soft one at α = 0, an estimand without num_samples, and the mean of a reward that is -inf.
    """

    needs_prediction = True

    def __init__(self, target: Target, num_samples: int | None = None, estimand: str | None = None):
        super().__init__()
        if num_samples is None and estimand is not None:
            raise ValueError(f"estimand: one point has the same value in each, got {estimand!r} without num_samples")
        if num_samples is not None and not (is_integer(num_samples) and num_samples >= 1):
            raise ValueError(f"num_samples: expected None or an integer of at least 1, got {num_samples}")
        default = "soft" if target.alpha > 0 else "mean"
        self.target, self.num_samples = target, None if num_samples is None else int(num_samples)
        self.estimand = estimand_of(default if estimand is None else estimand, target)
        self.needs_generator = num_samples is not None
        self.checked = num_samples is None  # the target has, and its floor is finite
        self.asynchronous = num_samples is None and is_asynchronous(target.reward)

    def arguments(self) -> dict[str, Any]:
        """What the constructor took, for a checkpoint: a point has no estimand."""
        estimand = None if self.num_samples is None else self.estimand
        return {"target": self.target, "num_samples": self.num_samples, "estimand": estimand}

    def forward(
        self,
        x: State,
        t: Tensor,
        prediction: Prediction | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        if self.num_samples is None:
            if prediction is None or prediction.clean is None:
                raise ValueError(
                    "prediction.clean: PosteriorMean needs x̂_T, and the reference predicts none; return "
                    "Prediction(..., clean=x̂_T) from its forward, or guide by a learned value"
                )
            return self.target.floored(prediction.clean, t)
        law = None if prediction is None else prediction.clean_law
        if law is None:
            raise ValueError(
                f"prediction.clean_law: PosteriorMean with num_samples = {self.num_samples} needs the law of x_T given "
                "x_t, and the reference predicts none; leave num_samples out to use its point prediction"
            )
        drawn = concatenate([law.sample(generator=generator) for _ in range(self.num_samples)])
        rewards = self.target(drawn, t.repeat(self.num_samples)).view(self.num_samples, len(x)).T
        return estimate(rewards, self.target, self.estimand)
