"""Rewards by a classifier of images: the log-probability of a class, and the event that it is the likeliest."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.arguments import expect, integer
from svlearn.domains.images.rewards.checks import check_images


class Classified(nn.Module):
    """What rewards by a classifier share.

    network: images (B, C, H, W) in [0, 1] -> logits (B, K), or an output of transformers that has them; it is put into
    evaluation mode and frozen. label: the class, an integer from 0 on; None: that of each state, its leaf "class".
    """

    leaf: str | None

    def __init__(self, network: nn.Module, label: int | None = None):
        super().__init__()
        self.network = expect(network, nn.Module, "network").eval().requires_grad_(False)
        self.label = None if label is None else integer(label, "label", 0)
        self.leaf = "class" if label is None else None

    def logits(self, images: Tensor) -> Tensor:
        """(B, K). Raises ValueError for another shape."""
        check_images(images, self)
        output: Any = self.network(images)
        logits = getattr(output, "logits", output)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
            came = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"network: expected logits ({len(images)}, K), got {came}")
        return logits

    def labels(self, logits: Tensor, labels: Tensor | None) -> Tensor:
        """The class of each image, (B,) long. Raises ValueError where there is none, and for one out of range."""
        if self.label is not None:
            labels = logits.new_full((len(logits),), self.label).long()
        if labels is None or labels.shape != (len(logits),) or labels.is_floating_point():
            came = "none" if labels is None else f"shape {tuple(labels.shape)} of {labels.dtype}"
            raise ValueError(f"label: expected a class of each of {len(logits)} images, long, got {came}")
        outside = (labels < 0) | (labels >= logits.shape[1])
        if bool(outside.any()):
            raise ValueError(f"label: expected one of 0 ... {logits.shape[1] - 1}, got {int(labels[outside][0])}")
        return labels


class LogProbability(Classified):
    """r(x) = log p(c | x) of a classifier, nats, (B,), of images (B, C, H, W) in [0, 1]; differentiable.

    network, label: see `Classified`. As `targets.likelihood` it gives the posterior of the class, alpha = 1.
    """

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = self.logits(images)
        return F.log_softmax(logits, dim=1).gather(1, self.labels(logits, labels).unsqueeze(1)).squeeze(1)


class IsClass(Classified):
    """Whether a class is the classifier's likeliest, bool (B,), of images (B, C, H, W): `targets.constraint` takes it.

    network, label: see `Classified`. The reference given this event has log Z = log P(event).
    """

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = self.logits(images)
        return logits.argmax(dim=1) == self.labels(logits, labels)
