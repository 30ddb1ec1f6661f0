"""Pipelines on another device: the text encoders, the embeddings and the noise go where the network is."""

from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from tracked_device import tracked

from svlearn.domains.images import DiffusersReference
from svlearn.inference.samplers import ancestral
from svlearn.policies import Finetuned

BUILDS = {
    "sd": (tiny_pipelines.stable_diffusion, {}),
    "sdxl": (tiny_pipelines.stable_diffusion_xl, {}),
    "sd3": (tiny_pipelines.stable_diffusion_3, {}),
    "pixart": (tiny_pipelines.pixart, {}),
    "flux": (tiny_pipelines.flux, {"height": 16, "width": 16}),
}


@pytest.mark.parametrize("name", BUILDS)
def test_the_device_draws_what_the_cpu_draws(name: str, tmp_path: Path) -> None:
    build, options = BUILDS[name]
    reference = DiffusersReference(build(tmp_path), 2, **options)
    prompts: Any = ["a cat", "a dog"]
    expected = ancestral(reference).sample(2, condition=prompts, generator=torch.Generator().manual_seed(0)).states
    with tracked() as device:
        there = reference.to(device)
        drawn = ancestral(there).sample(2, condition=prompts, generator=torch.Generator("cpu").manual_seed(0)).states
        assert all(leaf.device == device for leaf in drawn.values())
        with torch.no_grad():
            images = there.images(drawn[:, 0]).cpu()
        actual = drawn["sample"].cpu()
    torch.testing.assert_close(actual, expected["sample"], atol=1e-4, rtol=1e-4)
    assert images.shape[1:] == (3, 16, 16)


def test_a_policy_leaves_its_steps_there_too() -> None:
    reference = DiffusersReference(tiny_pipelines.ddpm(), 3)
    policy = Finetuned(reference, modules="denoiser.network", noiseless="reference")
    with tracked() as device:
        drawn = ancestral(policy.to(device)).sample(2, generator=torch.Generator("cpu").manual_seed(0))
        assert drawn.states.device == device
        assert drawn.cost.reference_calls == 2 * 3
