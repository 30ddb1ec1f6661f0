"""The shipped references of digits: that plain diffusers loads them, what they draw, and what their cards say."""

import json
import math
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline

from svlearn.domains.images.digits import pretrained
from svlearn.domains.images.digits.classifier import FILES, classifier
from svlearn.domains.images.digits.data import IMAGES, LABELS, part
from svlearn.domains.images.digits.export import REPEATS, TRAININGS, card_of
from svlearn.domains.images.digits.metrics import accuracy
from svlearn.inference.samplers import ancestral
from svlearn.loading import shipped
from svlearn.randomness import seeded

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
NAMES = ["digits", "digits-flow"]


def figures(name):
    return json.loads((RESULTS / f"{name.replace('-', '_')}_reference.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_plain_diffusers_loads_it(name):
    folder = shipped(name)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 3e6
    pipeline = DDPMPipeline.from_pretrained(folder)
    parameters = sum(each.numel() for each in pipeline.unet.parameters())
    assert parameters == figures(name)["num_parameters"]
    reference = pretrained.load(name)
    weights = reference.denoiser.network.state_dict()
    assert all(torch.equal(each, weights[key]) for key, each in pipeline.unet.state_dict().items())
    assert not any(each.requires_grad for each in reference.parameters()) and not reference.training


@pytest.mark.parametrize("load", [pretrained.digits, pretrained.digits_flow])
def test_it_draws_the_class_that_is_asked_for(load, assets):
    """On 20 images: within four standard errors of the card's share."""
    reference, judge = load(), classifier("b", assets(FILES["b"]))
    classes = torch.arange(10).repeat(2)
    samples = ancestral(reference).sample(20, condition=classes, generator=seeded("cpu", 1))
    states = samples.states[:, 0]
    assert states["sample"].shape == (20, 1, 28, 28) and torch.equal(states["class"], classes)
    share = figures("digits-flow" if load is pretrained.digits_flow else "digits")["accuracy_b"]
    assert accuracy(judge, reference.images(states), classes) > share - 4 * math.sqrt(share * (1 - share) / 20)


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_what_was_measured(name):
    measured = figures(name)
    assert card_of(name, measured) == shipped(f"{name}.md").read_text(encoding="utf-8")
    assert measured["accuracy_a"] > 0.93 and measured["accuracy_b"] > 0.93
    assert measured["num_steps"] <= 50


@pytest.mark.parametrize("name", NAMES)
def test_its_loss_is_that_of_the_card(name, assets):
    """On the held-out digits, at one draw of noise and time for each, within four standard errors of one."""
    assets(IMAGES)
    assets(LABELS)
    reference, measured = pretrained.load(name), figures(name)
    training = TRAININGS[name](reference.denoiser.network, reference.scheduler).eval()
    with torch.no_grad():
        loss = float(training._loss(*part("test"), seeded("cpu", 100)))
    assert loss == pytest.approx(measured["loss"], abs=4 * measured["loss_error"] * math.sqrt(REPEATS))
