"""The policies of digits: a few numbers that move what is predicted of x_T, and with it the step."""

from dataclasses import replace

from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional as F

from benchmarks.digits_policies.steering import RADIUS, Steered
from svlearn.process import Prediction, predict
from svlearn.state import State
from svlearn.transitions import Transition

BACKGROUND = -1.0  # of a digit


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


class Smoothed(Pulled):
    """The same of a reward without a gradient: g = Σ_j k_{t,j} (b_j * x̂_T - x̂_T), blurs b_j, the first of which, that
    changes nothing, gives way to an empty image. k < 0 sharpens."""

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        clean = prediction.clean["sample"].detach()
        lit = clean - BACKGROUND  # beyond its edge an image is background, which is what a convolution adds: 0
        directions = F.conv2d(lit, self.blurs, padding=RADIUS) - lit
        directions[:, :1] = -lit
        control = (self.gains[t][:, :, None, None] * directions).sum(dim=1, keepdim=True)
        return prediction.transition.tilt(TensorDict({"sample": control}, batch_size=[len(t)]))
