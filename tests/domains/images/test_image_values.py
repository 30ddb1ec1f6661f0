"""Networks of values of images: shapes, gradients, and that time, class and prompt are read."""

import pytest
import torch
from image_toys import small_unet
from tensordict import TensorDict
from torch import nn

from svlearn.domains.images.reference import DiffusersReference
from svlearn.domains.images.values import FeaturesValue, ImageValue, pooled
from svlearn.inference.samplers import smc
from svlearn.randomness import seeded
from svlearn.targets import Target
from svlearn.values import Head, Learned
from svlearn.values.saving import load_value, save_value

T = 5


def states(shape=(1, 28, 28), **leaves):
    sample = torch.randn(4, *shape, generator=seeded("cpu", 0))
    return TensorDict({"sample": sample, **leaves}, batch_size=[4])


def times(*values):
    return torch.tensor(values if len(values) > 1 else values * 4)


def stirred(network):
    """The last layer is 0 at first: here it is not."""
    nn.init.normal_(network.out[-1].weight, generator=seeded("cpu", 1))
    return network.double()


@pytest.mark.parametrize("shape", [(1, 28, 28), (4, 9, 16), (3, 1, 1)])
def test_a_value_of_any_shape_is_0_at_first_and_has_a_gradient(shape):
    x, network = states(shape)["sample"].requires_grad_(), ImageValue(shape[0], T)
    assert torch.equal(network(x, times(0, 1, 2, 5)), torch.zeros(4))
    value = stirred(network)(x.double(), times(0, 1, 2, 5))
    (gradient,) = torch.autograd.grad(value[2], x)
    assert value.shape == (4,) and len(value.unique()) == 4
    assert bool((gradient[[0, 1, 3]] == 0).all()) and float(gradient[2].abs().sum()) > 0


def test_the_gradient_is_that_of_the_value():
    network, x = stirred(ImageValue(1, T, widths=(4, 8))), torch.randn(2, 1, 6, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda each: network(each, torch.tensor([1, 3])), x.requires_grad_())


def test_time_and_class_are_read():
    network = stirred(ImageValue(1, T, num_classes=11))
    x = states(**{"class": torch.tensor([0, 1, 2, 10])})
    value = network(x, times(2))
    assert bool((network(x, times(3)) != value).all())
    other = states(**{"class": torch.tensor([0, 1, 2, 9])})
    assert (network(other, times(2)) != value).tolist() == [False, False, False, True]
    with pytest.raises(ValueError, match=r"class: expected classes of 0 ... 10 .*, got 0 ... 11"):
        network(states(**{"class": torch.tensor([0, 1, 2, 11])}), times(2))
    with pytest.raises(ValueError, match="a leaf 'class', which num_classes asks for, got a sample alone"):
        network(x["sample"], times(2))


def test_a_prompt_is_read_by_its_embedding():
    network, embedding = stirred(ImageValue(1, T, prompt_width=6)), torch.randn(4, 3, 6)
    value = network(states(embedding=embedding), times(2))
    torch.testing.assert_close(network(states(embedding=embedding.mean(dim=1)), times(2)), value)
    embedding[1] += torch.arange(6.0)
    assert (network(states(embedding=embedding), times(2)) != value).tolist() == [False, True, False, False]
    with pytest.raises(ValueError, match=r"embedding: expected \(B, 6\), got \(4, 7\)"):
        network(states(embedding=torch.ones(4, 7)), times(2))
    with pytest.raises(
        ValueError, match="a leaf 'embedding', which prompt_width, without encode, asks for, got sample"
    ):
        network(states(), times(2))


def test_a_prompt_is_encoded_where_the_state_holds_its_letters():
    class Letters(nn.Linear):
        def forward(self, prompt):
            return prompt[:, :6].float()

    network = ImageValue(1, T, prompt_width=6, encode=Letters(2, 2))
    assert not [name for name, _ in network.named_parameters() if "encode" in name]
    prompt = torch.zeros(4, 512, dtype=torch.uint8)
    prompt[:, 0] = torch.arange(4)
    encoded = stirred(network)(states(prompt=prompt), times(2))
    network.encode = None
    torch.testing.assert_close(network(states(embedding=prompt[:, :6].float()), times(2)), encoded)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_a_head_reads_features_and_time(shape):
    features, network = torch.randn(shape, generator=seeded("cpu", 0)), FeaturesValue(3, T)
    assert torch.equal(network(features, times(1)), torch.zeros(4))
    value = stirred(network)(features, times(1, 1, 1, 2))
    assert (network(features, times(1)) != value).tolist() == [False, False, False, True]
    assert bool((network(2 * features, times(1, 1, 1, 2)) != value).all())
    with pytest.raises(ValueError, match=r"features: expected \(B, 3, ...\), got \(4, 2\)"):
        network(features.flatten(1)[:, :2], times(1))


def test_a_head_tells_classes_apart_that_its_features_do_not():
    features, network = torch.ones(4, 3, 2, 2), stirred(FeaturesValue(3, T, num_classes=11))
    classes = torch.tensor([0, 10, 10, 0])
    values = network(features, times(1), classes)
    assert values[0] == values[3] != values[1] == values[2] and network.leaf == "class"
    with pytest.raises(ValueError, match=r"class: expected classes of 0 ... 10 .*, got 0 ... 11"):
        network(features, times(1), classes + (classes > 0))
    with pytest.raises(ValueError, match=r"classes: expected those of the states \(B,\), .* asks for, got None"):
        network(features, times(1))


def test_features_are_pooled_by_channel():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, -4.0]]]])
    assert pooled(features).tolist() == [[3, -1, 6, 0]]
    assert pooled(torch.tensor([[1.0, 2.0]])).tolist() == [[1, 2, 1, 2]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 5), "channels: expected an integer of at least 1, got 0"),
        ((1, 0), "num_steps: expected an integer of at least 1, got 0"),
        ((1, 5, ()), "widths: expected at least one, got none"),
        ((1, 5, (8,), 0), "num_classes: expected an integer of at least 1, got 0"),
    ],
)
def test_what_is_no_network_is_refused(arguments, error):
    with pytest.raises(ValueError, match=error):
        ImageValue(*arguments)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"x: expected samples \(B, 3, H, W\), got \(4, 1, 28, 28\)"):
        ImageValue(3, T)(states(), times(2))


@pytest.mark.parametrize(
    "network", [ImageValue(1, 4, (8, 12), 11, 6), FeaturesValue(8, 4), FeaturesValue(8, 4, num_classes=11)]
)
def test_a_value_is_saved_and_loaded(network, tmp_path):
    from diffusers import DDPMScheduler

    reference = DiffusersReference(small_unet(), 4, scheduler=DDPMScheduler())
    value = (Learned if isinstance(network, ImageValue) else Head)(network)
    again = load_value(save_value(value, tmp_path / "value.safetensors", reference), reference)
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in value.state_dict().items())


@pytest.mark.parametrize(("kind", "num_classes"), [(Learned, 11), (Head, None), (Head, 11)])
def test_samplers_take_both(kind, num_classes):
    """A network of classes, its middle of 8 channels."""
    from diffusers import DDPMScheduler

    reference = DiffusersReference(small_unet(11), 4, scheduler=DDPMScheduler())
    options = {"num_classes": num_classes}
    network = ImageValue(1, 4, (8,), **options) if kind is Learned else FeaturesValue(8, 4, **options)
    target = Target(lambda x: x["sample"].mean(dim=(1, 2, 3)), 1.0)
    samples = smc(reference, target, kind(stirred(network).float()), 3).sample(2, condition=[1, 7])
    assert samples.states["class"].tolist() == [[1] * 3, [7] * 3]
    assert bool(samples.log_normalizer.isfinite().all())
