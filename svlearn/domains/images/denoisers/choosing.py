"""Which kind of network a pipeline has."""

from typing import Any

from torch import nn

from svlearn.arguments import expect
from svlearn.compiled import plain
from svlearn.domains.images.denoisers.denoiser import Denoiser
from svlearn.domains.images.denoisers.unet2d import UNet2D
from svlearn.domains.images.denoisers.unet2d_condition import UNet2DCondition

PARTS = {"UNet2DConditionModel": UNet2DCondition}  # by the class of the network, those that need their pipeline


def denoiser_of(pipeline: Any, guidance_scale: float | None, options: dict[str, Any]) -> Denoiser:
    """The denoiser of a diffusers pipeline, of a network of (sample, timestep), or the one that is given.

    Raises ValueError for a pipeline without a unet or a transformer, and a network that needs its pipeline."""
    if isinstance(pipeline, Denoiser):
        if guidance_scale is not None or options:
            raise ValueError("guidance_scale, options: a Denoiser has its own; expected none")
        return pipeline
    if guidance_scale is not None:
        options = {**options, "guidance_scale": guidance_scale}
    if isinstance(pipeline, nn.Module):
        kind = type(plain(pipeline)).__name__
        if kind in PARTS:
            raise ValueError(f"pipeline: expected that of the {kind}, with all that it reads, got the network alone")
        return UNet2D(pipeline, **options)
    networks = [getattr(pipeline, name, None) for name in ("unet", "transformer")]
    network = next((each for each in networks if each is not None), None)
    if network is None:
        raise ValueError(f"pipeline: expected one with a unet or a transformer, got {type(pipeline).__name__}")
    kind = type(plain(expect(network, nn.Module, "pipeline.unet"))).__name__
    if kind in PARTS:
        return PARTS[kind](pipeline, **options)
    return UNet2D(network, **options)
