"""The denoising loss of a pipeline is the one that its network was trained by, whatever the network predicts."""

import pytest
import tiny_pipelines
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from svlearn.domains.images import DiffusersReference
from svlearn.randomness import seeded

KINDS = ("epsilon", "sample", "v_prediction", "flow")


def reference(kind):
    network = tiny_pipelines.ddpm().unet.double()
    if kind == "flow":
        return DiffusersReference(network, 4, scheduler=FlowMatchEulerDiscreteScheduler())
    return DiffusersReference(network, 4, scheduler=DDPMScheduler(prediction_type=kind, clip_sample=False))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_squared_error_of_the_output(kind):
    process, t = reference(kind), torch.tensor([0, 1, 3])
    x_T, noise = torch.randn(2, 3, 1, 8, 8, generator=seeded("cpu", 0), dtype=torch.float64)
    scales, stds = (part[t].view(3, 1, 1, 1) for part in (process.steps.scales, process.steps.noise_stds))
    x = scales * x_T + stds * noise
    wanted = {"epsilon": noise, "sample": x_T, "v_prediction": scales * noise - stds * x_T, "flow": noise - x_T}[kind]
    with torch.no_grad():
        output = process.denoiser(*process.steps.network_input(x, t), {}).output
        found = process.denoising_loss(x_T, x, t, process(x, t))
    torch.testing.assert_close(found, (output - wanted).square().mean(dim=(1, 2, 3)), rtol=1e-6, atol=1e-9)
