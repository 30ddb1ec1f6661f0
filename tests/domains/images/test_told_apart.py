"""Processes of images that differ in anything but their weights are told apart; no part of a pipeline is left out."""

import copy
from pathlib import Path

import pytest
import torch
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    LDMPipeline,
    StableDiffusionControlNetPipeline,
    UNet2DModel,
    VQModel,
)
from image_toys import small_unet
from tiny_pipelines import pixart, stable_diffusion, stable_diffusion_3, stable_diffusion_xl
from torch import nn

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.rewards import OnImages
from svlearn.fingerprint import fingerprint


def attending(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            **options,
        ).eval()


@pytest.mark.parametrize("other", [{"act_fn": "gelu"}, {"attention_head_dim": 4}, {"downsample_padding": 0}])
def test_a_network_of_other_settings_and_the_same_weights_is_another_process(other):
    one, two = (DiffusersReference(attending(**each), 3, scheduler=DDPMScheduler()) for each in ({}, other))
    assert fingerprint(one) != fingerprint(two)
    assert fingerprint(one) == fingerprint(DiffusersReference(attending(), 3, scheduler=DDPMScheduler()))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (stable_diffusion, {"height": 32}),
        (stable_diffusion, {"guidance_scale": 2.0}),
        (stable_diffusion_3, {"max_sequence_length": 4}),
        (pixart, {"max_sequence_length": 4}),
        (pixart, {"clean_caption": False}),
    ],
)
def test_another_option_is_another_process(make, options, tmp_path):
    pipeline = make(tmp_path)
    assert fingerprint(DiffusersReference(pipeline, 3)) != fingerprint(DiffusersReference(pipeline, 3, **options))


def test_settings_of_a_pipeline_and_of_its_autoencoder_count_as_they_are_now(tmp_path):
    pipeline = stable_diffusion_xl(tmp_path)
    reference = DiffusersReference(pipeline, 3)
    seen = [fingerprint(reference)]
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    seen.append(fingerprint(reference))
    pipeline.vae.register_to_config(scaling_factor=0.5)
    seen.append(fingerprint(reference))
    reference.denoiser.guidance_scale = 2.0
    seen.append(fingerprint(reference))
    assert len(set(seen)) == 4


def test_a_copy_and_another_device_are_the_same_process(tmp_path):
    reference = DiffusersReference(stable_diffusion(tmp_path), 3, guidance_scale=2.3)
    before = fingerprint(reference)
    assert fingerprint(copy.deepcopy(reference)) == before
    assert fingerprint(reference.to("cpu")) == before
    settings = reference.settings.clone()
    assert torch.equal(reference.half().float().settings, settings)


def test_a_reward_of_another_autoencoder_has_another_name(tmp_path):
    def brightness(images):
        return images.mean(dim=(1, 2, 3))

    pipeline = stable_diffusion(tmp_path)
    reward = OnImages(DiffusersReference(pipeline, 3), brightness)
    name = reward.name
    pipeline.vae.register_to_config(scaling_factor=0.5)
    assert name is not None
    assert OnImages(DiffusersReference(pipeline, 3), brightness).name not in (None, name)
    assert reward.name != name


def test_the_autoencoder_of_a_latent_diffusion_is_its_vqvae():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        quantized = VQModel(
            latent_channels=3,
            block_out_channels=(8,),
            norm_num_groups=4,
            num_vq_embeddings=8,
            scaling_factor=0.5,
            down_block_types=("DownEncoderBlock2D",),
            up_block_types=("UpDecoderBlock2D",),
        )
    pipeline = LDMPipeline(vqvae=quantized, unet=small_unet(channels=3), scheduler=DDIMScheduler())
    reference = DiffusersReference(pipeline, 3)
    latents = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = (quantized.decode(latents / 0.5).sample / 2 + 0.5).clamp(0, 1)
        torch.testing.assert_close(reference.images(latents), expected)


def test_a_network_that_would_be_left_out_is_refused(tmp_path):
    plain = stable_diffusion(tmp_path)
    parts = {name: part for name, part in plain.components.items() if name != "image_encoder"}
    pipeline = StableDiffusionControlNetPipeline(
        **parts, controlnet=ControlNetModel.from_unet(plain.unet), requires_safety_checker=False
    )
    with pytest.raises(ValueError, match="with its controlnet, which is not"):
        DiffusersReference(pipeline, 3)


def test_an_output_of_another_form_is_refused():
    class Mean(nn.Module):
        def forward(self, sample, timestep):
            return sample.mean(dim=0, keepdim=True)

    reference = DiffusersReference(Mean(), 3, scheduler=DDPMScheduler(), shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"form of the samples, \(2, 1, 8, 8\), got \(1, 1, 8, 8\)"):
        reference(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))


@pytest.mark.parametrize("scheduler", [DDPMScheduler(), FlowMatchEulerDiscreteScheduler()])
def test_noise_of_no_time_changes_nothing_and_none_runs_forward(scheduler):
    reference = DiffusersReference(small_unet(), 5, scheduler=scheduler)
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.arange(6)
    torch.testing.assert_close(reference.noise(x, t, t), x)
    with pytest.raises(ValueError, match="t_to: expected times at or before t_from"):
        reference.noise(x, t, t.flip(0))


def test_embeddings_follow_the_encoders_weights_the_choices_and_not_autocast(tmp_path: Path):
    pipeline = stable_diffusion(tmp_path)
    reference = DiffusersReference(pipeline, 3, guidance_scale=1.0)
    leaves = reference.denoiser.leaves(1, ["a cat"])
    with torch.autocast("cpu", torch.bfloat16):
        under = reference.denoiser.embed(leaves).conditions["embeds"]
    reference.denoiser.embeddings.clear()
    before = reference.denoiser.embed(leaves).conditions["embeds"]
    assert torch.equal(under, before)
    moved = {name: each + 1 for name, each in pipeline.text_encoder.state_dict().items() if each.is_floating_point()}
    pipeline.text_encoder.load_state_dict(moved, strict=False)
    assert not torch.equal(reference.denoiser.embed(leaves).conditions["embeds"], before)
    assert reference.denoiser.embed(leaves).null is None
    reference.denoiser.guidance_scale = 7.5
    assert reference.denoiser.embed(leaves).null is not None


def test_a_gradient_passes_an_autoencoder_that_asks_for_one_itself(tmp_path: Path):
    reference = DiffusersReference(stable_diffusion(tmp_path), 3, decode_chunk=1)
    reward = OnImages(reference, lambda images: (images**2).mean(dim=(1, 2, 3)))
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    gradients = []
    for wanted in (False, True):
        reference.requires_grad_(wanted)
        x = latents.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(reward(x).sum(), x)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0
