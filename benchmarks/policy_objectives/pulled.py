"""The policy of digits: a few numbers that move what is predicted of x_T, and with it the step."""

from dataclasses import replace

from torch import Tensor

from benchmarks.digits_policies.steering import Steered
from svlearn.process import Prediction, predict
from svlearn.state import State


class Pulled(Steered):
    """`Steered`, whose prediction of x_T is moved as its mean is, so that it can be trained as a denoiser, too.

    The mean of a step is c_t x̂_T + d_t x_t, so a mean that is moved by s_t² g is that of x̂_T + s_t² g/c_t.
    """

    def forward(self, x: State, t: Tensor, previous: Prediction | None = None) -> Prediction:
        prediction = predict(self.reference, x, t, previous)
        law, own = self.steer(prediction, x, t), prediction.transition
        moved = law.laws["sample"].mean - own.laws["sample"].mean
        clean = prediction.clean.copy()
        parts = self.reference.steps.mean_clean.to(moved)[t]
        clean["sample"] = clean["sample"] + moved / parts[:, None, None, None]
        return replace(prediction, transition=law, clean=clean)
