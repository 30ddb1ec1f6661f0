"""The training-free value: the reward of the predicted finished sample."""

from torch import Tensor

from svlearn.process import Prediction
from svlearn.state import State
from svlearn.targets import Target
from svlearn.values.value import Value


class PosteriorMean(Value):
    """v_t(x_t) ≈ r(x̂_T(x_t)), (B,), reward units: SVDD-PM (arXiv 2408.08252, algorithm 3) and DPS.

    A reward below the target's `floor` (-inf of a constraint) is raised to it: x̂_T is only a guess at t < T.
    Raises ValueError where the reference predicts no clean sample.
    """

    needs_prediction = True

    def __init__(self, target: Target):
        super().__init__()
        self.target = target

    def forward(self, x: State, t: Tensor, prediction: Prediction | None = None) -> Tensor:
        if prediction is None or prediction.clean is None:
            raise ValueError("prediction.clean: PosteriorMean needs x̂_T, and the reference predicts none")
        return self.target.floored(prediction.clean, int(t[0]) if len(t) else "t")
