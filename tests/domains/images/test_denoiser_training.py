"""Training of a denoiser: its loss at the exact minimiser of a law in closed form, its draws, and that it goes on."""

import math

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from digit_files import pretrained, write_digits
from torch import nn

from svlearn.domains.images.digits.pretraining import DiffusionTraining, FlowTraining, stratified, without_class
from svlearn.randomness import randn, seeded

CPU = torch.device("cpu")


class Said:
    def __init__(self, sample):
        self.sample = sample


class Exact(nn.Module):
    """The minimiser for pixels of N(0, 1): a number of the time, times the pixel."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.labels = factor, []

    def forward(self, sample, timestep, class_labels):
        self.labels.append(class_labels)
        return Said(self.factor(timestep).to(sample).view(-1, 1, 1, 1) * sample)


def mean_loss(training, number=40):
    """Of batches of 50 images of 10 x 10, and its standard error."""
    losses = []
    for batch in range(number):
        generator = seeded(CPU, batch)
        images, classes = randn((50, 1, 10, 10), generator, CPU), torch.arange(50) % 10
        losses.append(training._loss(images, classes, generator))
    losses = torch.stack(losses)
    return float(losses.mean()), float(losses.std() / math.sqrt(number))


def test_the_least_loss_of_noise_prediction():
    """ε given x_t = √ᾱ x + √(1 - ᾱ) ε has mean √(1 - ᾱ) x_t and variance ᾱ: the loss is the mean of ᾱ_t over t."""
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    alphas = scheduler.alphas_cumprod
    loss, error = mean_loss(DiffusionTraining(Exact(lambda t: (1 - alphas[t]).sqrt()), scheduler))
    assert loss == pytest.approx(float(alphas.mean()), abs=4 * error)
    assert error < 0.01
    worse, _ = mean_loss(DiffusionTraining(Exact(lambda t: 1 - alphas[t]), scheduler))
    assert worse > loss + 0.02  # at the same draws


def test_the_least_loss_of_a_velocity():
    """ε - x given (1 - s) x + s ε has variance 1/((1 - s)² + s²), whose integral over s is π/2."""
    scheduler = FlowMatchEulerDiscreteScheduler()
    s = lambda t: t / 1000  # noqa: E731
    factor = lambda t: (2 * s(t) - 1) / ((1 - s(t)) ** 2 + s(t) ** 2)  # noqa: E731
    loss, error = mean_loss(FlowTraining(Exact(factor), scheduler))
    assert loss == pytest.approx(math.pi / 2, abs=4 * error)
    assert error < 0.01
    worse, _ = mean_loss(FlowTraining(Exact(lambda t: 2 * s(t) - 1), scheduler))
    assert worse > loss + 0.02  # at the same draws


def test_times_are_one_in_each_part():
    times = torch.stack([stratified(8, seeded(CPU, seed), CPU) for seed in range(500)])
    assert bool(((times.sort(dim=1).values * 8).long() == torch.arange(8)).all())
    assert float((times.mean(dim=0) - 0.5).abs().max()) < 4 * math.sqrt(1 / 12 / 500)


def test_a_tenth_of_the_rows_has_no_class():
    training = FlowTraining(Exact(torch.zeros_like), FlowMatchEulerDiscreteScheduler())
    mean_loss(training, 80)
    labels = torch.cat(training.network.labels)
    classes = (torch.arange(50) % 10).repeat(80)
    assert float((labels == 10).double().mean()) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / len(labels)))
    assert bool(((labels == classes) | (labels == 10)).all())
    assert without_class(classes, 0.0, 10, seeded(CPU, 0)).equal(classes)


def test_another_scheduler_is_refused():
    with pytest.raises(TypeError, match="scheduler: expected a DDPMScheduler, got FlowMatchEulerDiscreteScheduler"):
        DiffusionTraining(Exact(torch.zeros_like), FlowMatchEulerDiscreteScheduler())
    with pytest.raises(ValueError, match="null_share: expected"):
        FlowTraining(Exact(torch.zeros_like), FlowMatchEulerDiscreteScheduler(), null_share=1.5)


@pytest.mark.parametrize("name", ["digits", "digits-flow"])
def test_a_training_goes_on_as_it_would_have(name, tmp_path, monkeypatch):
    """The shipped configurations, with a smaller network: two steps at once, or one and then one more."""
    write_digits(tmp_path)

    def run(folder, steps, *more):
        return pretrained(name, tmp_path, tmp_path / folder, steps, monkeypatch, *more)

    whole = torch.load(run("whole", 2), weights_only=True)
    parts = torch.load(run("parts", 2, "--ckpt_path", run("parts", 1)), weights_only=True)
    assert parts["global_step"] == 2
    for weights in ("state_dict", "current_model_state"):
        assert all(torch.equal(each, parts[weights][key]) for key, each in whole[weights].items())
    assert not all(torch.equal(each, whole["current_model_state"][key]) for key, each in whole["state_dict"].items())
