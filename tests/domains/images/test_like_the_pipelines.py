"""Pipelines of diffusers and their references: the same scheduler and the same noise make the same latents."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.reference import parts, with_sample
from svlearn.inference.samplers import ancestral
from svlearn.state import State
from svlearn.testing import check_reference

STEPS = 4
PROMPTS = {"prompt": ["a cat", "dog"], "negative_prompt": ["fog", "a rat"]}


@dataclass(frozen=True)
class Case:
    """A pipeline and how its own call is made as its reference is."""

    build: Callable[..., Any]
    call: dict[str, Any] = field(default_factory=dict)  # to the pipeline's own
    options: dict[str, Any] = field(default_factory=dict)  # of the reference


def shifted(build: Callable[..., Any]) -> Callable[..., Any]:
    """With a shift that depends on the image's size."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_image_seq_len=4, max_image_seq_len=100)
    return partial(build, scheduler=scheduler)


CASES = {
    "sd": Case(tiny_pipelines.stable_diffusion),
    "sd of another size": Case(tiny_pipelines.stable_diffusion, *[{"height": 24, "width": 8}] * 2),
    "sdxl": Case(tiny_pipelines.stable_diffusion_xl),
    "pixart": Case(tiny_pipelines.pixart, {"use_resolution_binning": False}),
}
FLOWS = {
    "sd3": Case(tiny_pipelines.stable_diffusion_3),
    "sd3, shifted": Case(shifted(tiny_pipelines.stable_diffusion_3)),
    "flux": Case(tiny_pipelines.flux, *[{"height": 16, "width": 32}] * 2),
    "flux without guidance": Case(partial(tiny_pipelines.flux, guidance=False), *[{"height": 16, "width": 32}] * 2),
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


def packed(pipeline: Any, latents: Tensor) -> Tensor:
    """As Flux has its latents; of other pipelines as they are."""
    pack = getattr(pipeline, "_pack_latents", None)
    return latents if pack is None else pack(latents, *latents.shape)


def noise_like(pipeline: Any, latents: Tensor) -> Tensor:
    """Drawn as the scheduler draws it, from the global generator."""
    noise = torch.randn_like(packed(pipeline, latents))
    if noise.shape == latents.shape:
        return noise
    return pipeline._unpack_latents(noise, *(2 * side for side in latents.shape[2:]), 2)


@torch.no_grad()
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("stochastic", [False, True])
def test_flows_take_the_pipelines_own_steps(name: str, stochastic: bool, tmp_path: Path) -> None:
    """With stochastic_sampling the scheduler draws from the global generator, which is given to the reference too."""
    case = FLOWS[name]
    pipeline = case.build(tmp_path)
    pipeline.scheduler.register_to_config(stochastic_sampling=stochastic)
    condition = {"prompt": PROMPTS["prompt"]} if name.startswith("flux") else PROMPTS
    torch.manual_seed(5)
    expected = pipeline(**condition, num_inference_steps=STEPS, output_type="latent", **case.call).images
    reference = DiffusersReference(pipeline, STEPS, flow="scheduler", **case.options)
    torch.manual_seed(5)
    x = reference.initial(2, condition=condition, generator=torch.default_generator)
    for t in range(STEPS):
        law = reference(x, torch.full((2,), t)).transition.laws["sample"]
        noise = noise_like(pipeline, law.mean) if stochastic else torch.zeros_like(law.mean)
        x = with_sample(x, law.mean + law.std * noise)
    torch.testing.assert_close(packed(pipeline, x["sample"]), expected, atol=1e-4, rtol=1e-5)


def test_no_negative_prompt_is_an_empty_one(tmp_path: Path) -> None:
    """Zeros, of a pipeline whose configuration says so, as SDXL's."""
    for build in (tiny_pipelines.stable_diffusion, tiny_pipelines.stable_diffusion_xl):
        pipeline = build(tmp_path)
        shared = {"num_inference_steps": STEPS, "generator": seed(), "output_type": "latent"}
        expected = pipeline(PROMPTS["prompt"], eta=1.0, **shared).images
        actual = sampled(DiffusersReference(pipeline, STEPS), PROMPTS["prompt"])["sample"]
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)


def test_images_are_those_of_the_pipeline(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion(tmp_path)
    expected = pipeline(**PROMPTS, num_inference_steps=STEPS, generator=seed(), eta=1.0, output_type="pt").images
    reference = DiffusersReference(pipeline, STEPS)
    x = sampled(reference)
    torch.testing.assert_close(reference.images(x), expected, atol=1e-4, rtol=1e-5)
    assert [each.size for each in reference.decode(x)] == [(16, 16)] * 2


@torch.no_grad()
@pytest.mark.parametrize("guidance_scale", [None, 1.0])
def test_classes_of_a_transformer(guidance_scale: float | None) -> None:
    """DiT's pipeline gives images, and draws from the global generator: for the rows without a class, too."""
    pipeline = tiny_pipelines.dit(DDPMScheduler(clip_sample=False))
    options = {} if guidance_scale is None else {"guidance_scale": guidance_scale}
    torch.manual_seed(5)
    expected = pipeline([3, 999], num_inference_steps=STEPS, output_type="pt", **options).images
    reference = DiffusersReference(pipeline, STEPS, guidance_scale=guidance_scale)
    assert reference.denoiser.guidance_scale == (4.0 if guidance_scale is None else 1.0)
    torch.manual_seed(5)
    x = reference.initial(2, condition=[3, 999], generator=torch.default_generator)
    for t in range(STEPS):
        law = reference(x, torch.full((2,), t)).transition.laws["sample"]
        noise = torch.randn(4 if guidance_scale is None else 2, *law.mean.shape[1:])
        x = with_sample(x, law.mean + law.std * noise[:2])
    torch.testing.assert_close(reference.images(x), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", ["sd", "sdxl", "pixart", "sd3", "flux"])
def test_the_reference_is_one(name: str, tmp_path: Path) -> None:
    case = {**CASES, **FLOWS}[name]
    reference = DiffusersReference(case.build(tmp_path), STEPS, **case.options)
    check_reference(reference, condition=["a cat", "dog", "", "a cat"], num_draws=500)
    if reference.denoiser.guided:
        condition = {"prompt": ["a", "b", "", "a"], "negative_prompt": ["", "c", "c", "d"]}
        check_reference(reference, condition=condition, num_draws=500)


def test_the_reference_of_classes_is_one() -> None:
    check_reference(DiffusersReference(tiny_pipelines.dit(), STEPS), condition=[3, 1000, 3, 0], num_draws=500)
