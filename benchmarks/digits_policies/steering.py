"""The policy of the study: a learned blur, step by step, of the reward's gradient at what the reference predicts."""

from collections.abc import Iterable

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn import functional as F

import svlearn as sv
from svlearn.domains.images import DiffusersReference
from svlearn.objectives.state_gradients import reward_gradient
from svlearn.policies import Policy
from svlearn.process import Prediction
from svlearn.state import State
from svlearn.transitions import Transition

BLURS = (0.0, 0.7, 1.5, 3.0)  # standard deviations, pixels
RADIUS = 6  # of a blur, pixels


class Steered(Policy):
    """q(x_{t+1} | x_t) = N(m_t + s_t² g, s_t²), g = Σ_j k_{t,j} b_j * ∇r(x̂_T)/α b_j: blurs. k is trained, 0 at first.

    x̂_T is the reference's prediction, held fixed: the gradient is of the reward alone, so a step costs one call of the
    reference. A control that is told the target's gradient is that of the path integral sampler (arXiv 2111.15141).
    """

    def __init__(self, reference: DiffusersReference, target: sv.Target):
        super().__init__(reference)
        self.target = target
        self.gains = nn.Parameter(torch.zeros(self.num_steps, len(BLURS)))
        self.register_buffer("blurs", torch.stack([blur(std) for std in BLURS])[:, None])

    def steer(self, prediction: Prediction, x: State, t: Tensor) -> Transition:
        clean = prediction.clean.detach()
        gradient = reward_gradient(self.target, clean)["sample"] / self.target.alpha
        blurred = F.conv2d(gradient, self.blurs, padding=RADIUS)
        control = (self.gains[t][:, :, None, None] * blurred).sum(dim=1, keepdim=True)
        return prediction.transition.tilt(TensorDict({"sample": control}, batch_size=[len(t)]))

    def trained(self) -> Iterable[nn.Parameter]:
        return [self.gains]


def blur(std: float) -> Tensor:
    """A Gaussian of squares, (2 RADIUS + 1, 2 RADIUS + 1), of sum 1; of std 0 the one that changes nothing."""
    places = torch.arange(-RADIUS, RADIUS + 1).float()
    line = (places == 0).float() if std == 0 else torch.exp(-0.5 * (places / std) ** 2)
    square = torch.outer(line, line)
    return square / square.sum()
