"""Two public classifiers of MNIST digits, trained by others: one to reward with, one to judge with."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.assets import fetch
from svlearn.domains.images.digits.data import CLASSES, SIZE
from svlearn.domains.images.digits.weights import load_into

FILES = {"a": "images/mnist_cnn_a.pt", "b": "images/mnist_cnn_b.pt"}
MEAN, STD = 0.1307, 0.3081  # of the pixels of MNIST, in [0, 1]
NUM_FEATURES = 500


class DigitClassifier(nn.Module):
    """log p(class | image), (B, 10), nats, of images (B, 1, 28, 28) in [0, 1], white on black.

    Convolutions of 5 x 5 to 20 and to 50 channels, each with a rectifier and the maximum of 2 x 2, then dense layers of
    500 and 10 (PyTorch's own MNIST example of 2019). Of digits on a background of -1 it takes (x + 1)/2; as a reward it
    goes into `images.rewards.LogProbability`. Raises ValueError for images of another shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(4 * 4 * 50, NUM_FEATURES), nn.Linear(NUM_FEATURES, CLASSES)

    def features(self, images: Tensor) -> Tensor:
        """What the last layer reads, (B, 500), at least 0."""
        if images.dim() != 4 or images.shape[1:] != (1, SIZE, SIZE):
            raise ValueError(f"images: expected (B, 1, {SIZE}, {SIZE}), got {tuple(images.shape)}")
        hidden = F.max_pool2d(F.relu(self.conv1((images - MEAN) / STD)), 2)
        hidden = F.max_pool2d(F.relu(self.conv2(hidden)), 2)
        return F.relu(self.fc1(hidden.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        return F.log_softmax(self.fc2(self.features(images)), dim=1)


def classifier(name: str = "a", path: str | Path | None = None) -> DigitClassifier:
    """The public classifier "a" (99.1 % of the 10,000 digits) or "b" (98.9 %), in evaluation mode, not to be trained.

    path: its file; None: the public one, fetched where it is not there yet. Raises ValueError for another name, and for
    a file that is not such a classifier's.
    """
    if name not in FILES:
        raise ValueError(f"name: expected one of {', '.join(FILES)}, got {name!r}")
    network = DigitClassifier()
    load_into(network, fetch(FILES[name]) if path is None else path, "the weights of a digit classifier")
    return network.eval().requires_grad_(False)
