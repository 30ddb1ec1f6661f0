"""What `svlearn export digits` writes: a pipeline that plain diffusers loads, its figures and its card."""

import json

import pytest
import torch
from diffusers import DDPMPipeline
from digit_files import pretrained, write_digits

from svlearn.domains.images.digits import pretrained as shipped
from svlearn.domains.images.digits.classifier import FILES
from svlearn.domains.images.digits.export import card_of, export


@pytest.mark.parametrize("name", ["digits", "digits-flow"])
def test_a_training_is_exported(name, assets, tmp_path, monkeypatch):
    for file in FILES.values():
        assets(file)
    write_digits(tmp_path)
    monkeypatch.setattr(shipped, "NUM_STEPS", 5)
    checkpoint = pretrained(name, tmp_path, tmp_path / "run", 2, monkeypatch)
    files = {each: str(tmp_path / each) for each in ("images", "labels")}
    said = export(name, checkpoint, tmp_path / "out", tmp_path / "results", num_samples=20, **files)
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out" / name)
    averages = torch.load(checkpoint, weights_only=True)["state_dict"]
    weights = pipeline.unet.state_dict()
    assert {f"network.{each}" for each in weights} == set(averages)
    assert all(torch.equal(averages[f"network.{each}"], weight) for each, weight in weights.items())
    reference = shipped.load(name, tmp_path / "out" / name, num_steps=3)
    kind = "FlowMatchEulerDiscreteScheduler" if name == "digits-flow" else "DDPMScheduler"
    assert type(pipeline.scheduler).__name__ == type(reference.scheduler).__name__ == kind
    assert reference.initial(2, condition=None)["class"].tolist() == [10, 10]
    figures = json.loads((tmp_path / "results" / f"{name.replace('-', '_')}_reference.json").read_text())
    assert (figures["steps"], figures["num_samples"], figures["num_training"]) == (2, 20, 16)
    assert figures["accuracy_b"] == pytest.approx(sum(figures["by_class_b"].values()) / 10)
    card = (tmp_path / "out" / f"{name}.md").read_text()
    assert card == card_of(name, figures) and said.startswith(card)


def test_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name: expected one of digits, digits-flow, got 'mnist'"):
        export("mnist", tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="num_samples: expected at least two of each of 10 classes, got 19"):
        export("digits", tmp_path / "last.ckpt", num_samples=19)
