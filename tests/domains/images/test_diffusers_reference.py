"""Pipelines of diffusers as references: the same images, what a call costs, and what is refused."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from image_toys import small_unet
from tensordict import TensorDict
from torch import nn

from svlearn.domains.images import DiffusersReference
from svlearn.fingerprint import fingerprint
from svlearn.inference.samplers import ancestral, svdd
from svlearn.targets import Target
from svlearn.testing import check_reference
from svlearn.values import Head, PosteriorMean

SCHEDULERS = [DDPMScheduler(), DDIMScheduler(), EulerAncestralDiscreteScheduler(), FlowMatchEulerDiscreteScheduler()]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("classes", [None, [0, 1, 2, 0]])
def test_the_kit_accepts_it(scheduler, classes):
    network = small_unet(None if classes is None else 4)
    options = {} if classes is None else {"guidance_scale": 2.0}
    check_reference(DiffusersReference(network, 5, scheduler=scheduler, **options), condition=classes)


@pytest.mark.parametrize(
    "pipeline", [DDPMPipeline(small_unet(), DDPMScheduler()), DDIMPipeline(small_unet(), DDIMScheduler())]
)
def test_same_noise_same_images_as_the_pipelines_own_loop(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    options = {"eta": 1.0} if isinstance(pipeline, DDIMPipeline) else {}
    own = pipeline(batch_size=3, num_inference_steps=10, generator=seeded(4), output_type="np", **options).images
    reference = DiffusersReference(pipeline, 10)
    states = ancestral(reference).sample(3, generator=seeded(4)).states[:, 0]
    ours = reference.images(states).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, own, atol=1e-4)


def test_a_folder_is_the_pipeline_that_was_saved_there(tmp_path):
    DDPMPipeline(small_unet(), DDPMScheduler(beta_schedule="squaredcos_cap_v2")).save_pretrained(tmp_path / "saved")
    read = DiffusersReference(tmp_path / "saved", 6)
    made = DiffusersReference(small_unet(), 6, scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"))
    x = torch.randn(2, 1, 8, 8, generator=seeded())
    t = torch.tensor([1, 4])
    torch.testing.assert_close(read(x, t).transition.mean, made(x, t).transition.mean)


def test_guidance_is_two_evaluations_where_there_is_a_class_and_one_where_there_is_none():
    network = small_unet(4)
    guided = DiffusersReference(network, 3, scheduler=DDPMScheduler(), guidance_scale=3.0)
    samples = ancestral(guided).sample(4, condition=[0, 1, 3, 3], generator=seeded())
    assert samples.cost.reference_calls == 3 * (2 + 2 + 1 + 1)
    plain = DiffusersReference(network, 3, scheduler=DDPMScheduler())
    assert ancestral(plain).sample(4, condition=[0, 1, 2, 3], generator=seeded()).cost.reference_calls == 3 * 4


def test_guidance_is_the_combination_of_both_outputs():
    network, scale = small_unet(4), 2.5
    x = torch.randn(3, 1, 8, 8, generator=seeded())
    timesteps = torch.tensor([900, 500, 10])
    reference = DiffusersReference(network, 3, scheduler=DDPMScheduler(), guidance_scale=scale)
    with torch.no_grad():
        given, none = (network(x, timesteps, class_labels=torch.tensor(each)).sample for each in ([0, 2, 3], [3, 3, 3]))
        said = reference.denoiser(x, timesteps, {"class": torch.tensor([0, 2, 3])})
    torch.testing.assert_close(said.output, none + scale * (given - none), rtol=1e-4, atol=1e-5)
    assert said.evaluations.tolist() == [2, 2, 1]


def test_a_class_that_is_not_read_stays_in_the_state_and_moves_nothing():
    network = small_unet(4)
    blind = DiffusersReference(network, 3, scheduler=DDPMScheduler(), reads_class=False)
    x = blind.initial(3, condition=[0, 1, 2], generator=seeded())
    t = torch.tensor([0, 1, 2])
    with torch.no_grad():
        said = network(x["sample"], blind.steps.timesteps[t].long(), class_labels=torch.tensor([3, 3, 3])).sample
        law = blind(x, t).transition
    mean = blind.steps.law(x["sample"], blind.steps.clean(x["sample"], said, t), said, t).mean
    torch.testing.assert_close(law.laws["sample"].mean, mean)
    assert law.sample(generator=seeded())["class"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="expected 1 where the class is not read"):
        DiffusersReference(network, 3, scheduler=DDPMScheduler(), reads_class=False, guidance_scale=2.0)


def test_another_scale_of_guidance_is_another_process():
    network = small_unet(4)
    one, other = (DiffusersReference(network, 3, scheduler=DDPMScheduler(), guidance_scale=s) for s in (2.0, 3.0))
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        {"scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2")},
        {"scheduler": DDPMScheduler(clip_sample=False)},
        {"scheduler": DDIMScheduler(), "eta": 0.5},
    ],
)
def test_other_steps_are_another_process(other):
    network = small_unet()
    assert fingerprint(DiffusersReference(network, 3, scheduler=DDPMScheduler())) != fingerprint(
        DiffusersReference(network, 3, **other)
    )


def test_a_head_reads_the_middle_of_the_network():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, features, t):
            return self.gain * features.flatten(1).mean(dim=1)

    reference = DiffusersReference(small_unet(), 4, scheduler=DDPMScheduler())
    x = torch.randn(2, 1, 8, 8, generator=seeded())
    prediction = reference(x, torch.tensor([0, 3]))
    assert prediction.features.shape == (2, 8, 4, 4)
    expected = prediction.features.flatten(1).mean(dim=1)
    torch.testing.assert_close(Head(Mean())(x, torch.tensor([0, 3]), prediction), expected)


def test_svdd_raises_a_reward_of_pixels():
    reference = DiffusersReference(small_unet(), 8, scheduler=DDPMScheduler())
    target = Target(lambda x: reference.images(x).mean(dim=(1, 2, 3)), 0.0)
    plain = ancestral(reference, target).sample(16, generator=seeded()).rewards.mean()
    guided = svdd(reference, target, PosteriorMean(target), num_candidates=8).sample(16, generator=seeded())
    assert guided.rewards.mean() > plain + 0.05


def test_states_of_classes_hold_them_and_finished_ones_are_images():
    reference = DiffusersReference(small_unet(4, channels=3), 3, scheduler=DDPMScheduler())
    states = ancestral(reference).sample(2, condition={"class": torch.tensor([1, 3])}, generator=seeded()).states[:, 0]
    assert isinstance(states, TensorDict)
    assert states["class"].tolist() == [1, 3]
    objects = reference.decode(states)
    assert [each.size for each in objects] == [(8, 8), (8, 8)]
    assert objects[0].mode == "RGB"


def test_decoded_images_are_rounded_not_cut():
    reference = DiffusersReference(small_unet(), 3, scheduler=DDPMScheduler())
    (image,) = reference.decode(torch.full((1, 1, 8, 8), 2 * 100.6 / 255 - 1))
    assert image.getpixel((0, 0)) == 101


def test_a_network_that_is_not_diffusers_is_called_the_same():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, sample, timestep):
            return self.layer(sample) * timestep.float().view(-1, 1, 1, 1) / 1000

    reference = DiffusersReference(Plain(), 4, scheduler=DDPMScheduler(), shape=(1, 6, 6))
    check_reference(reference)
    with pytest.raises(ValueError, match="shape: expected .* Plain does not say what it reads"):
        DiffusersReference(Plain(), 4, scheduler=DDPMScheduler())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": PNDMScheduler()}, "expected one with a stochastic step, of DDPMScheduler"),
        ({}, "scheduler: expected one of diffusers, for the network brings none"),
        (
            {"scheduler": DDPMScheduler(), "guidance_scale": 2.0},
            "expected 1 and True for a network without a null class",
        ),
        ({"scheduler": DDIMScheduler(), "eta": 1.5}, "eta: expected a finite number of at least 0 and at most 1"),
        ({"scheduler": DDPMScheduler(), "num_steps": 0}, "num_steps"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DiffusersReference(small_unet(), **{"num_steps": 3, **options})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ([0, 4], r"condition\[1\]: expected a class of 0 \.\.\. 3, got 4"),
        ([0], "condition: expected 2 classes, one for each sample, got 1"),
        ({"label": [0, 1]}, "expected the key 'class'"),
        (None, "expected classes of 0 .* got none"),
    ],
)
def test_classes_that_are_not_there_are_refused(condition, message):
    reference = DiffusersReference(small_unet(4), 3, scheduler=DDPMScheduler())
    with pytest.raises(ValueError, match=message):
        reference.initial(2, condition=condition)


def test_an_unconditional_network_refuses_a_condition():
    with pytest.raises(ValueError, match="condition: expected None"):
        DiffusersReference(small_unet(), 3, scheduler=DDPMScheduler()).initial(2, condition=[0, 1])


def test_a_folder_without_a_pipeline_and_a_name_without_a_network_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError, match=r"model_index\.json"):
        DiffusersReference(tmp_path, 3)
    with pytest.raises(OSError, match="is no folder here, and could not be fetched by that name"):
        DiffusersReference("nobody/has-this", 3)


def test_half_precision_runs_the_network_alone_and_names_the_row_that_is_not_finite():
    network = small_unet().to(torch.bfloat16)
    reference = DiffusersReference(network, 3, scheduler=DDPMScheduler())
    x = torch.randn(2, 1, 8, 8, generator=seeded())
    prediction = reference(x, torch.tensor([0, 1]))
    assert prediction.transition.mean.dtype == torch.float32
    x[1, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"row 1 at t = 1 is not finite in torch\.bfloat16; run it in"):
        reference(x, torch.tensor([0, 1]))


def test_gradients_reach_the_state_through_the_network():
    reference = DiffusersReference(small_unet(), 3, scheduler=DDPMScheduler(clip_sample=False))
    x = torch.randn(2, 1, 8, 8, generator=seeded(), requires_grad=True)
    reference(x, torch.tensor([0, 2])).clean.sum().backward()
    assert x.grad.abs().sum() > 0
