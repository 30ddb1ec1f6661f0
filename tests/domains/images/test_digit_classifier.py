"""The public classifiers: how well they read real digits, what of them is refused, and the reward that they give."""

import pytest
import torch
from torch.nn import functional as F

from svlearn.domains.images.digits.classifier import FILES, DigitClassifier, classifier
from svlearn.domains.images.digits.data import IMAGES, LABELS, read
from svlearn.domains.images.digits.metrics import accuracy, class_accuracies, features_of


@pytest.mark.parametrize(("name", "right"), [("a", 0.991), ("b", 0.989)])
def test_the_public_classifiers_read_the_digits(name, right, assets):
    for each in (IMAGES, LABELS, FILES[name]):
        assets(each)
    digits, classes = read()
    judge = classifier(name)
    assert abs(accuracy(judge, (digits + 1) / 2, classes) - right) < 1e-3
    assert min(class_accuracies(judge, (digits + 1) / 2, classes).values()) > 0.97
    assert not any(parameter.requires_grad for parameter in judge.parameters())


def test_the_layers_are_those_of_the_example():
    """By torch's own functions, at random weights."""
    network, images = DigitClassifier(), torch.rand(3, 1, 28, 28)
    hidden = (images - 0.1307) / 0.3081
    for layer in (network.conv1, network.conv2):
        hidden = F.max_pool2d(F.conv2d(hidden, layer.weight, layer.bias).clamp(min=0), 2, 2)
    features = (hidden.reshape(3, 800) @ network.fc1.weight.T + network.fc1.bias).clamp(min=0)
    logits = features @ network.fc2.weight.T + network.fc2.bias
    torch.testing.assert_close(features_of(network, images), features)
    torch.testing.assert_close(network(images), logits - logits.logsumexp(1, keepdim=True))


def test_the_images_have_a_gradient_each_of_its_own():
    network, images = DigitClassifier(), torch.rand(2, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images)[1, 3], images)
    assert bool((gradient[0] == 0).all()) and float(gradient[1].abs().sum()) > 0


def test_what_is_no_such_image_or_name_is_refused():
    with pytest.raises(ValueError, match=r"images: expected \(B, 1, 28, 28\), got \(2, 3, 28, 28\)"):
        DigitClassifier()(torch.rand(2, 3, 28, 28))
    with pytest.raises(ValueError, match="name: expected one of a, b, got 'c'"):
        classifier("c")


def changed(**tensors):
    return DigitClassifier().state_dict() | tensors


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_both_layouts_are_read(tmp_path, zipped):
    network = DigitClassifier()
    torch.save(network.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    again = classifier(path=tmp_path / "a.pt").state_dict()
    assert all(torch.equal(again[name], each) for name, each in network.state_dict().items())


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (changed(more=torch.ones(1)), "got one that differs in more"),
        ({}, "got one that differs in conv1.bias, conv1.weight"),
        ([1], "got one that differs in list"),
        (changed(**{"fc2.bias": torch.ones(11)}), r"fc2.bias: expected weights of shape \(10,\), got \(11,\)"),
        (changed(**{"fc2.bias": [1]}), r"fc2.bias: expected weights of shape \(10,\), got list"),
        (changed(**{"fc2.bias": torch.full((10,), torch.nan)}), "expected finite floating-point weights"),
        (changed(**{"fc2.bias": torch.ones(10, dtype=torch.long)}), "weights, got torch.int64"),
        (DigitClassifier, "got a file that names code: svlearn.domains.images.digits.classifier.DigitClassifier"),
    ],
)
def test_other_weights_are_refused(tmp_path, content, error):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=error) as raised:
        classifier(path=tmp_path / "a.pt")
    assert str(tmp_path / "a.pt") in str(raised.value)


def test_what_is_no_file_of_torch_is_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"weights")
    with pytest.raises(ValueError, match="expected the weights of a digit classifier, got a corrupt file"):
        classifier(path=tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match=r"b.pt: no such file"):
        classifier(path=tmp_path / "b.pt")
