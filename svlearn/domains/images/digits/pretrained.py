"""The shipped references of digits: saving them as pipelines of diffusers, loading them."""

from pathlib import Path
from typing import Any

from diffusers import DDPMPipeline, UNet2DModel

from svlearn.domains.images.digits.data import CLASSES
from svlearn.domains.images.reference import DiffusersReference
from svlearn.files import user_path
from svlearn.loading import shipped

NUM_STEPS = 50
NULL_CLASS = CLASSES  # the last embedding


def digits(
    path: str | Path | None = None,
    num_steps: int = NUM_STEPS,
    guidance_scale: float = 1.0,
    reads_class: bool = True,
    **options: Any,
) -> DiffusersReference:
    """MNIST digits by class or without one, a diffusion of 50 steps, not to be trained.

    States are {"sample": (B, 1, 28, 28) in [-1, 1], "class": (B,)}, with class 10 for none. path: a folder of the
    pipeline; None: the shipped one. guidance_scale: of classifier-free guidance. reads_class: False: it draws any
    digit, and the class of a state is of rewards, values and policies alone. options: of `DiffusersReference`.
    """
    own = {"num_steps": num_steps, "guidance_scale": guidance_scale, "reads_class": reads_class}
    return load("digits", path, **own, **options)


def digits_flow(
    path: str | Path | None = None,
    num_steps: int = NUM_STEPS,
    guidance_scale: float = 1.0,
    reads_class: bool = True,
    **options: Any,
) -> DiffusersReference:
    """As `digits`, by flow matching, with flow="memoryless", the sampler that forgets its start: at 50 steps its digits
    are better than those of "flow_grpo", and the fine-tuning of a flow asks for it."""
    own = {"num_steps": num_steps, "guidance_scale": guidance_scale, "reads_class": reads_class}
    return load("digits-flow", path, **{"flow": "memoryless", **own, **options})


def load(name: str, path: str | Path | None = None, **options: Any) -> DiffusersReference:
    """The reference in a folder, or of None, the shipped one of that name."""
    folder = shipped(name) if path is None else user_path(path)
    settings: dict[str, Any] = {"null_class": NULL_CLASS}
    return DiffusersReference(folder, **(settings | options)).requires_grad_(False)


def save(network: UNet2DModel, scheduler: Any, folder: Path) -> Path:
    """Write a pipeline of both, in diffusers' own format, with the weights in safetensors."""
    pipeline: Any = DDPMPipeline(network, scheduler)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
