"""Pipelines of diffusers and their references: the same scheduler and the same noise make the same latents."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler
from torch import Tensor

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.reference import parts
from svlearn.inference.samplers import ancestral
from svlearn.state import State
from svlearn.testing import check_reference

STEPS = 4
PROMPTS = {"prompt": ["a cat", "dog"], "negative_prompt": ["fog", ""]}


@dataclass(frozen=True)
class Case:
    """A pipeline and how its own call is made as its reference is."""

    build: Callable[..., Any]
    call: dict[str, Any] = field(default_factory=dict)  # to the pipeline's own
    options: dict[str, Any] = field(default_factory=dict)  # of the reference


CASES = {
    "sd": Case(tiny_pipelines.stable_diffusion),
    "sd of another size": Case(tiny_pipelines.stable_diffusion, *[{"height": 24, "width": 8}] * 2),
}
SCHEDULERS = {
    "ddim": DDIMScheduler(**tiny_pipelines.BETAS, clip_sample=False, steps_offset=1),
    "ddim, v": DDIMScheduler(**tiny_pipelines.BETAS, clip_sample=False, prediction_type="v_prediction"),
    "ddpm": DDPMScheduler(**tiny_pipelines.BETAS, clip_sample=False),
    "euler": EulerAncestralDiscreteScheduler(**tiny_pipelines.BETAS),
}


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def sampled(reference: DiffusersReference, condition: Any = PROMPTS) -> State:
    """By `ancestral`, one state a row."""
    drawn = ancestral(reference).sample(2, condition=condition, generator=seed())
    return drawn.states.squeeze(1) if isinstance(drawn.states, Tensor) else drawn.states[:, 0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_the_same_noise_makes_the_same_latents(name: str, kind: str, tmp_path: Path) -> None:
    case = CASES[name]
    pipeline = case.build(tmp_path, SCHEDULERS[kind])
    shared = {"num_inference_steps": STEPS, "generator": seed(), "output_type": "latent"}
    expected = pipeline(**PROMPTS, **shared, **case.call, **({"eta": 1.0} if "ddim" in kind else {})).images
    actual, _ = parts(sampled(DiffusersReference(pipeline, STEPS, **case.options)))
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)


def test_images_are_those_of_the_pipeline(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion(tmp_path)
    expected = pipeline(**PROMPTS, num_inference_steps=STEPS, generator=seed(), eta=1.0, output_type="pt").images
    reference = DiffusersReference(pipeline, STEPS)
    x = sampled(reference)
    torch.testing.assert_close(reference.images(x), expected, atol=1e-4, rtol=1e-5)
    assert [each.size for each in reference.decode(x)] == [(16, 16)] * 2


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_one(name: str, tmp_path: Path) -> None:
    reference = DiffusersReference(CASES[name].build(tmp_path), STEPS, **CASES[name].options)
    check_reference(reference, condition=["a cat", "dog", "", "a cat"], num_draws=500)
    check_reference(
        reference, condition={"prompt": ["a", "b", "", "a"], "negative_prompt": ["", "c", "c", "d"]}, num_draws=500
    )
