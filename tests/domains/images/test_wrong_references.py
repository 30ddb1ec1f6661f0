"""What a user gets wrong with a pipeline: each is refused, with what to write."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler
from image_toys import small_unet
from tiny_pipelines import dit, stable_diffusion

import svlearn as sv
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.rewards import Inpainting, SuperResolution, inverse_problem


def pipeline(scheduler=None):
    return DDPMPipeline(small_unet(), DDPMScheduler() if scheduler is None else scheduler)


@pytest.mark.parametrize("given", ["name", "class", "object"])
def test_a_flow_is_no_diffusion(given):
    def scheduler(kind):
        return {"name": kind.__name__, "class": kind, "object": kind()}[given]

    with pytest.raises(ValueError, match="expected one of a diffusion, as the .* own DDPMScheduler is, got Flow"):
        DiffusersReference(pipeline(), 4, scheduler=scheduler(FlowMatchEulerDiscreteScheduler))
    with pytest.raises(ValueError, match="expected one of a flow, as the .* own FlowMatch.* is, got DDIM"):
        DiffusersReference(pipeline(FlowMatchEulerDiscreteScheduler()), 4, scheduler=scheduler(DDIMScheduler))


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
def test_no_more_steps_than_the_model_was_trained_with(scheduler):
    with pytest.raises(ValueError, match="num_steps: expected an integer of 1 ... 1000, got 2000"):
        DiffusersReference(pipeline(), 2000, scheduler=scheduler)


def test_an_option_that_the_network_does_not_take(tmp_path):
    with pytest.raises(TypeError, match="UNet2D takes guidance_scale, null_class, .*shape, got num_inference_steps"):
        DiffusersReference(pipeline(), num_inference_steps=10)
    with pytest.raises(TypeError, match="takes guidance_scale, height, prompts_kept, width, got eat"):
        DiffusersReference(stable_diffusion(tmp_path), 4, eat=1)
    with pytest.raises(TypeError, match="DiT takes guidance_scale, got height"):
        DiffusersReference(dit(), 4, height=16)


def test_a_class_is_no_pipeline():
    with pytest.raises(TypeError, match="pipeline: expected a pipeline, its name or its folder, got the class DDPMPip"):
        DiffusersReference(DDPMPipeline, 4)


def test_groups_of_samples_are_no_images(tmp_path):
    own, latent = DiffusersReference(pipeline(), 2), DiffusersReference(stable_diffusion(tmp_path), 2)
    for reference, wanted in ((own, "1, 8, 8"), (latent, "4, 8, 8")):
        groups = sv.ancestral(reference).sample(2).states
        for method in (reference.images, reference.decode):
            with pytest.raises(ValueError, match=rf"expected samples \(B, {wanted}\), got .* take states\[:, k\]"):
                method(groups)
        assert len(reference.decode(groups.flatten(0, 1))) == 2


def test_observations_and_states_that_do_not_fit():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[0] = True
    image, operator = torch.rand(1, 8, 8), Inpainting(mask)
    with pytest.raises(ValueError, match=r"it is operator\(image\[None\]\)\[0\]"):
        inverse_problem(image, operator, 0.1).reward(image[None])
    assert inverse_problem(operator(image[None])[0], operator, 0.1).reward(image[None]).shape == (1,)
    reference = DiffusersReference(DDPMPipeline(small_unet(11), DDPMScheduler()), 2, null_class=10)
    target = inverse_problem(torch.zeros(1, 2, 2), SuperResolution(4), 0.5)
    with pytest.raises(TypeError, match=r"OnImages\(reference, inverse_problem\(\.\.\.\)\.reward\)"):
        sv.ancestral(reference, target).sample(2)
