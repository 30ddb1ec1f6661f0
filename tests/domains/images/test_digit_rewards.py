"""The reward of digits that are small: log p(digit) and the size of a JPEG file, each worked out by hand."""

import io

import pytest
import torch
from PIL import Image
from tensordict import TensorDict

from svlearn.domains.images.digits.classifier import FILES, classifier
from svlearn.domains.images.digits.data import IMAGES, LABELS, part
from svlearn.domains.images.digits.rewards import FileSize, WrittenDigit


def kilobytes(image):
    file = io.BytesIO()
    Image.fromarray((image[0] * 255).round().byte().numpy(), "L").save(file, "JPEG", quality=95)
    return len(file.getvalue()) / 1000


@pytest.fixture
def images(assets):
    for each in (IMAGES, LABELS, *FILES.values()):
        assets(each)
    return part("test")[0][:4]


def test_it_is_the_log_probability_less_the_size(images):
    reward = WrittenDigit(7, weight=10.0)
    pixels = images / 2 + 0.5
    log_probs = classifier("a")(pixels)[:, 7]
    sizes = torch.tensor([kilobytes(each) for each in pixels])
    torch.testing.assert_close(reward(images), log_probs - 10 * sizes)
    torch.testing.assert_close(FileSize()(images).float(), sizes)


def test_the_digit_may_be_of_each_state_and_then_has_a_gradient(images):
    classes = torch.tensor([3, 1, 4, 1])
    states = TensorDict({"sample": images.clone().requires_grad_(), "class": classes}, batch_size=[4])
    rewards = WrittenDigit(None, "b")(states)
    torch.testing.assert_close(rewards, classifier("b")(images / 2 + 0.5)[torch.arange(4), classes])
    (gradient,) = torch.autograd.grad(rewards.sum(), states["sample"])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("options", [{"digit": 10}, {"digit": 7, "weight": -1.0}, {"digit": 7, "name": "c"}])
def test_what_is_no_digit_weight_or_classifier_is_refused(images, options):
    with pytest.raises(ValueError, match="expected"):
        WrittenDigit(**options)
