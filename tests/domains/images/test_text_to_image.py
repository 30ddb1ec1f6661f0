"""Text to image: what the prompts do, what a step costs, half precision, and pipelines that lack something."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import nn

from svlearn.domains.images import DiffusersReference
from svlearn.identity import identity_of_process
from svlearn.inference.samplers import ancestral
from svlearn.process import predict

FLUX = partial(DiffusersReference, height=16, width=16)
BUILDS = {
    "sd": (tiny_pipelines.stable_diffusion, DiffusersReference, 7.5),
    "sdxl": (tiny_pipelines.stable_diffusion_xl, DiffusersReference, 5.0),
    "sd3": (tiny_pipelines.stable_diffusion_3, DiffusersReference, 7.0),
    "pixart": (tiny_pipelines.pixart, DiffusersReference, 4.5),
    "flux": (tiny_pipelines.flux, FLUX, 3.5),
}
NOISELESS = DDPMScheduler(**tiny_pipelines.BETAS, clip_sample=False)


@pytest.mark.parametrize("name", BUILDS)
def test_prompts_are_told_apart_and_guidance_counts_twice(name: str, tmp_path: Path) -> None:
    build, make, scale = BUILDS[name]
    reference = make(build(tmp_path), 3)
    assert reference.denoiser.guidance_scale == scale  # of the pipeline's own call
    x = reference.initial(1, generator=torch.Generator().manual_seed(0))
    prompts = ["a cat", "a dog", "a cat"]
    x = torch.cat([x] * 3)
    x["prompt"] = reference.denoiser.leaves(3, prompts)["prompt"]
    with torch.no_grad():
        clean = predict(reference, x, 1).clean["sample"]
    assert (clean[0] - clean[1]).abs().max() > 1e-3
    torch.testing.assert_close(clean[0], clean[2])
    calls = ancestral(reference).sample(2, condition=prompts[:2]).cost.reference_calls
    assert calls == 2 * 3 * (1 if name == "flux" else 2)
    if name != "flux":
        plain = make(build(tmp_path), 3, guidance_scale=1.0)
        assert ancestral(plain).sample(2, condition=prompts[:2]).cost.reference_calls == 2 * 3


def test_guidance_is_an_input_of_flux(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.flux(tmp_path)
    cleans = []
    for scale in (1.0, 5.0):
        reference = FLUX(pipeline, 3, guidance_scale=scale)
        x = reference.initial(1, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            cleans.append(predict(reference, x, 0).clean["sample"])
    assert (cleans[0] - cleans[1]).abs().max() > 1e-4
    with pytest.raises(ValueError, match="guidance_scale: expected None, for this FluxTransformer2DModel reads none"):
        FLUX(tiny_pipelines.flux(tmp_path, guidance=False), 3, guidance_scale=3.0)


@pytest.mark.parametrize("name", BUILDS)
def test_features_are_those_of_the_middle_under_the_prompt(name: str, tmp_path: Path) -> None:
    build, make, _ = BUILDS[name]
    reference = make(build(tmp_path), 3)
    x = reference.initial(2, condition=["a cat", "a dog"])
    with torch.no_grad():
        features = predict(reference, x, 1).features
    assert features.dim() == 4 and len(features) == 2
    mean = features.flatten(1).mean(dim=1)
    assert features.isfinite().all() and mean[0] != mean[1]


@pytest.mark.parametrize("name", BUILDS)
def test_half_precision_is_of_the_network_alone(name: str, tmp_path: Path) -> None:
    build, make, _ = BUILDS[name]
    full, half = make(build(tmp_path), 3), make(build(tmp_path), 3)
    half.load_state_dict(full.state_dict())
    half.to(torch.bfloat16)
    x = full.initial(2, condition=["a cat", "a dog"], generator=torch.Generator().manual_seed(0))
    own = half.initial(2, condition=["a cat", "a dog"], generator=torch.Generator().manual_seed(0))
    assert own["sample"].dtype == torch.float32 and torch.equal(own["sample"], x["sample"])
    with torch.no_grad():
        expected, actual = predict(full, x, 1), predict(half, x, 1)
    assert actual.transition.laws["sample"].mean.dtype == torch.float32
    assert torch.equal(actual.transition.laws["sample"].std, expected.transition.laws["sample"].std)
    error = (actual.clean["sample"] - expected.clean["sample"]).abs().mean()
    assert 0 < error < 0.1 * expected.clean["sample"].abs().mean()
    assert half.images(own).dtype == torch.float32


def test_the_text_encoders_are_frozen_parts_that_move_with_the_network(tmp_path: Path) -> None:
    reference = DiffusersReference(tiny_pipelines.stable_diffusion_3(tmp_path), 3)
    encoders = reference.denoiser.text_encoders
    assert set(encoders) == {"text_encoder", "text_encoder_2", "text_encoder_3"}
    assert not any(each.requires_grad for each in encoders.parameters())
    assert not any(each.requires_grad for each in reference.autoencoder.parameters())
    assert all(each.requires_grad for each in reference.denoiser.network.parameters() if each.is_leaf)
    assert all(each.dtype == torch.float64 for each in reference.double().denoiser.text_encoders.parameters())


def test_a_copy_encodes_by_itself(tmp_path: Path) -> None:
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), 3)
    copied = deepcopy(reference)
    assert copied.pipeline.unet is copied.denoiser.network is not reference.denoiser.network
    assert copied.denoiser.encoding is copied.pipeline
    x = reference.initial(1, condition=["a cat"])
    with torch.no_grad():
        torch.testing.assert_close(predict(copied, x, 0).clean["sample"], predict(reference, x, 0).clean["sample"])


def test_what_was_encoded_and_drawn_is_no_part_of_what_a_reference_is(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion(tmp_path)
    reference = DiffusersReference(pipeline, 3)
    before = identity_of_process(reference)
    ancestral(reference).sample(1, condition=["a cat"])
    assert identity_of_process(reference) == before
    pipeline("a dog", num_inference_steps=5, output_type="latent")
    assert identity_of_process(reference) == before
    assert identity_of_process(DiffusersReference(pipeline, 3, guidance_scale=3.0)) != before


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[("sd", part) for part in ("vae", "text_encoder", "tokenizer")],
        *[("sdxl", part) for part in ("vae", "text_encoder_2", "text_encoder")],
        *[("sd3", part) for part in ("vae", "text_encoder", "tokenizer_2")],
        *[("flux", part) for part in ("vae", "text_encoder_2")],
        *[("pixart", part) for part in ("vae", "text_encoder")],
    ],
)
def test_a_part_that_is_missing_is_named(name: str, part: str, tmp_path: Path) -> None:
    build, make, _ = BUILDS[name]
    pipeline = build(tmp_path)
    setattr(pipeline, part, None)
    with pytest.raises(ValueError, match=f"pipeline: expected a .*Pipeline with its {part}, got one without"):
        make(pipeline, 3)


def test_without_the_largest_encoder_stable_diffusion_3_reads_prompts(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion_3(tmp_path)
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    drawn = ancestral(DiffusersReference(pipeline, 2)).sample(1, condition=["a cat"])
    assert drawn.states["sample"].isfinite().all()


def test_networks_that_cannot_be_called_are_named(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion(tmp_path)
    with pytest.raises(ValueError, match="expected one with a stochastic step.*got DPMSolverMultistepScheduler; for"):
        DiffusersReference(pipeline, 3, scheduler=DPMSolverMultistepScheduler)
    with pytest.raises(ValueError, match="expected that of the UNet2DConditionModel, .*, got the network alone"):
        DiffusersReference(pipeline.unet, 3, scheduler=NOISELESS)
    pipeline.unet = UNet2DConditionModel(**{**pipeline.unet.config, "in_channels": 9})
    with pytest.raises(ValueError, match="reads the 4 channels of the latents, got one of 9, as those for inpainting"):
        DiffusersReference(pipeline, 3)
    pipeline.unet = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="expected one whose unet is of UNet2DConditionModel.*got Linear; write"):
        DiffusersReference(pipeline, 3)
    pipeline.unet = None
    with pytest.raises(ValueError, match="expected one with a unet or a transformer, got StableDiffusionPipeline wi"):
        DiffusersReference(pipeline, 3)


def test_a_name_without_a_network_to_fetch_it_says_what_to_do(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="'nobody/nothing' is no folder here, and could not be fetched by that name"):
        DiffusersReference("nobody/nothing", 3)


def test_a_saved_pipeline_is_read_from_its_folder(tmp_path: Path) -> None:
    pipeline = tiny_pipelines.stable_diffusion(tmp_path / "made")
    pipeline.save_pretrained(tmp_path / "saved")
    reference, again = DiffusersReference(pipeline, 3), DiffusersReference(tmp_path / "saved", 3)
    x = reference.initial(1, condition=["a cat"])
    with torch.no_grad():
        torch.testing.assert_close(predict(again, x, 0).clean["sample"], predict(reference, x, 0).clean["sample"])
    with pytest.raises(FileNotFoundError, match="expected a folder of a diffusers pipeline, without model_index.json"):
        DiffusersReference(tmp_path, 3)
