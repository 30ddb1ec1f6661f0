"""A value that reads what the reference's own network has computed: a small head, in the place of a second network."""

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from svlearn.process import Prediction
from svlearn.state import State
from svlearn.values.value import Value


class Head(Value):
    """v_t(x_t) = network(prediction.features, t), (B,), reward units, of features (B, ...) at t (B,) in 0 ... T - 1.

    It rides on the call that the reference makes for x_t anyway. In `smc` every state that is weighed is called, and
    the head costs nothing more. In `svdd` and `beam_search` it needs the prediction of candidates that lose too, as
    `PosteriorMean` does: M calls of the reference a step, where a `Learned` value of (x, t) costs one.
    A network of (features, t) is trained, saved and loaded as one of (x, t) is. It learns; the reference does not.
    One that has a `leaf`, a name, also reads what its state is conditioned on, as a class that the reference's own
    network is not told of: it is called with that leaf of the state, (B, ...), as third argument.
    Raises ValueError where the reference predicts no features, and for states without the leaf; TypeError for what is
    no module.
    """

    needs_prediction = True

    def __init__(self, network: nn.Module):
        super().__init__()
        if not isinstance(network, nn.Module):
            raise TypeError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
        self.network = network

    def forward(
        self, x: State, t: Tensor, prediction: Prediction | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        if prediction is None or prediction.features is None:
            raise ValueError(
                "prediction.features: Head reads the features of the reference's network, and the reference predicts "
                "none; return Prediction(..., features=hidden) from its forward, or take Learned, which reads (x, t)"
            )
        leaf = getattr(self.network, "leaf", None)
        if leaf is None:
            return self.network(prediction.features, t)
        held = list(map(str, x.keys())) if isinstance(x, TensorDict) else []
        if leaf not in held:
            came = ", ".join(held) if held else "a tensor alone"
            raise ValueError(f"x: expected states with a leaf {leaf!r}, which the head's network reads, got {came}")
        return self.network(prediction.features, t, x[leaf])
