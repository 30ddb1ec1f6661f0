"""Fine-tuned policies in plain diffusers: adapters that it loads, and whole pipelines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import torch
from diffusers import DDPMPipeline, DDPMScheduler, DiffusionPipeline, DiTPipeline

from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.lora import save_lora, save_pipeline
from svlearn.inference.samplers import ancestral
from svlearn.policies import Finetuned
from svlearn.process import Reference
from svlearn.randomness import seeded
from svlearn.transitions import GaussianTransition

NETWORK = "denoiser.network"


def disturbed(policy: Finetuned) -> Finetuned:
    with torch.no_grad():
        for each in policy.trained():
            each.add_(0.1 * torch.randn(each.shape, generator=seeded("cpu", 1)))
    return policy


@pytest.mark.parametrize(
    ("build", "call", "targets"),
    [
        (tiny_pipelines.stable_diffusion, {}, ["to_q", "to_out.0", "conv1", "conv2", "conv_shortcut"]),
        (tiny_pipelines.stable_diffusion, {}, "all-linear"),
        (tiny_pipelines.stable_diffusion_xl, {}, ["to_k", "to_v"]),
        (tiny_pipelines.stable_diffusion_3, {}, ["to_q", "add_k_proj", "proj_out"]),
        (tiny_pipelines.flux, {"height": 16, "width": 16}, ["to_q", "add_v_proj"]),
    ],
)
def test_adapters_make_plain_diffusers_the_policy(
    build: Callable[..., Any], call: dict[str, Any], targets: Any, tmp_path: Path
) -> None:
    pipeline = build(tmp_path)
    options = {"flow": "scheduler"} if hasattr(pipeline, "transformer") else {}
    reference = DiffusersReference(pipeline, 3, **options, **call)
    policy = disturbed(Finetuned(reference, 2, modules=NETWORK, target_modules=targets))
    seen: list[tuple] = []
    hook = policy.copy.denoiser.network.register_forward_hook(
        lambda module, inputs, named, output: seen.append((inputs, named, output)), with_kwargs=True
    )
    drawn = ancestral(policy).sample(2, condition=["a cat", "a dog"], generator=seeded("cpu", 0)).states
    hook.remove()
    assert save_lora(policy, tmp_path / "saved").parent == tmp_path / "saved"
    assert [each.name for each in (tmp_path / "saved").iterdir()] == ["pytorch_lora_weights.safetensors"]

    pipeline.load_lora_weights(tmp_path / "saved")  # plain diffusers
    network = getattr(pipeline, "transformer", None) or pipeline.unet
    with torch.no_grad():
        for inputs, named, output in seen:
            assert torch.equal(network(*inputs, **named)[0], output[0])
    if not options:
        arguments = {"num_inference_steps": 3, "generator": seeded("cpu", 0), "output_type": "latent", "eta": 1.0}
        expected = pipeline(["a cat", "a dog"], **arguments, **call).images
        torch.testing.assert_close(drawn["sample"][:, 0], expected, atol=1e-4, rtol=1e-5)
    pipeline.unload_lora_weights()
    with torch.no_grad():
        assert not torch.equal(network(*seen[0][0], **seen[0][1])[0], seen[0][2][0])


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("build", [tiny_pipelines.ddpm, tiny_pipelines.dit])
def test_a_pipeline_without_adapters_is_saved_whole(
    build: Callable[..., Any], rank: int | None, tmp_path: Path
) -> None:
    pipeline = build()
    reference = DiffusersReference(pipeline, 3, scheduler=DDPMScheduler)
    before = {name: each.clone() for name, each in reference.denoiser.network.state_dict().items()}
    policy = disturbed(Finetuned(reference, rank, modules=NETWORK))
    with pytest.raises(ValueError, match="expected one with a lora_rank|reads none; save_pipeline"):
        save_lora(policy, tmp_path)
    assert save_pipeline(policy, tmp_path / "saved") == tmp_path / "saved"
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)
    assert type(loaded) in (DDPMPipeline, DiTPipeline) and type(loaded.scheduler) is DDPMScheduler
    again = DiffusersReference(loaded, 3)
    x = reference.initial(2, generator=seeded("cpu", 0))
    with torch.no_grad():
        own, other = (each(x, torch.tensor([0, 1])).clean for each in (policy, again))
        start = reference(x, torch.tensor([0, 1])).clean
    if not isinstance(own, torch.Tensor):
        own, other, start = own["sample"], other["sample"], start["sample"]
    torch.testing.assert_close(other, own, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(start, own, atol=1e-3)
    after = reference.denoiser.network.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    assert getattr(pipeline, "unet", None) is None or pipeline.unet is reference.denoiser.network


def test_adapters_that_the_pipeline_would_not_read_are_named(tmp_path: Path) -> None:
    reference = DiffusersReference(tiny_pipelines.stable_diffusion(tmp_path), 3)
    policy = Finetuned(reference, 2, modules=[NETWORK, "denoiser.text_encoders"], target_modules=["to_q"])
    policy.adapted["denoiser.text_encoders.text_encoder.q_proj"] = "Linear"
    with pytest.raises(ValueError, match="got one at denoiser.text_encoders.*, a Linear; give Finetuned modules='den"):
        save_lora(policy, tmp_path)


def test_a_policy_of_something_else_is_refused(tmp_path: Path) -> None:
    class Other(Reference):
        num_steps = 1

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def initial(self, batch_size: int, *, condition: Any = None, generator: Any = None) -> torch.Tensor:
            return torch.zeros(batch_size, 2)

        def forward(self, x: Any, t: Any, previous: Any = None) -> Any:
            from svlearn.process import Prediction

            return Prediction(GaussianTransition(self.layer(x), 1.0))

    for save in (save_lora, save_pipeline):
        with pytest.raises(TypeError, match="policy: expected a Finetuned, got Other"):
            save(Other(), tmp_path)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected one of a DiffusersReference that was given a pipeline, got one"):
            save(Finetuned(Other()), tmp_path)
    alone = DiffusersReference(tiny_pipelines.ddpm().unet, 3, scheduler=DDPMScheduler())
    with pytest.raises(ValueError, match="got one of DiffusersReference without"):
        save_pipeline(Finetuned(alone, modules=NETWORK), tmp_path)
