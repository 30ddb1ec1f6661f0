"""Which kind of network a pipeline has."""

import inspect
from typing import Any

from torch import nn

from svlearn.arguments import expect
from svlearn.compiled import plain
from svlearn.domains.images.denoisers.denoiser import Denoiser
from svlearn.domains.images.denoisers.dit import DiT
from svlearn.domains.images.denoisers.flux import Flux
from svlearn.domains.images.denoisers.pixart import PixArt
from svlearn.domains.images.denoisers.sd3 import SD3
from svlearn.domains.images.denoisers.unet2d import UNet2D
from svlearn.domains.images.denoisers.unet2d_condition import UNet2DCondition

KINDS: dict[str, type[Denoiser]] = {  # by the class of the network, those that need their pipeline
    "UNet2DConditionModel": UNet2DCondition,
    "SD3Transformer2DModel": SD3,
    "FluxTransformer2DModel": Flux,
    "PixArtTransformer2DModel": PixArt,
    "DiTTransformer2DModel": DiT,
}


def denoiser_of(pipeline: Any, guidance_scale: float | None, options: dict[str, Any]) -> Denoiser:
    """The denoiser of a diffusers pipeline, of a network of (sample, timestep), or the one that is given.

    Raises ValueError for a pipeline without a unet or a transformer, or with one of another kind, and for a network
    that needs its pipeline; TypeError for options that its kind does not take."""
    if isinstance(pipeline, Denoiser):
        if guidance_scale is not None or options:
            raise ValueError("guidance_scale, options: a Denoiser has its own; expected none")
        return pipeline
    if guidance_scale is not None:
        options = {**options, "guidance_scale": guidance_scale}
    if isinstance(pipeline, nn.Module):
        kind = type(plain(pipeline)).__name__
        if kind in KINDS:
            raise ValueError(f"pipeline: expected that of the {kind}, with all that it reads, got the network alone")
        return _make(UNet2D, pipeline, options)
    for part in ("unet", "transformer"):
        network = getattr(pipeline, part, None)
        if network is None:
            continue
        kind = type(plain(expect(network, nn.Module, f"pipeline.{part}"))).__name__
        if kind in KINDS:
            return _make(KINDS[kind], pipeline, options)
        if part == "transformer" or hasattr(pipeline, "encode_prompt"):
            raise ValueError(
                f"pipeline: expected one whose {part} is of {', '.join(KINDS)}, or a unet of (sample, timestep), got "
                f"{kind}; write a Denoiser that calls it, and give that with scheduler="
            )
        return _make(UNet2D, network, options)
    raise ValueError(f"pipeline: expected one with a unet or a transformer, got {type(pipeline).__name__} without")


def _make(kind: type[Denoiser], source: Any, options: dict[str, Any]) -> Denoiser:
    """Raises TypeError for options that it does not take, and says which it does."""
    names: set[str] = set()
    for each in kind.__mro__:
        parameters = inspect.signature(each).parameters.values()
        names |= {own.name for own in parameters if own.default is not own.empty}
        if not any(own.kind is own.VAR_KEYWORD for own in parameters):
            break
    unknown = sorted(set(options) - names)
    if unknown:
        raise TypeError(f"options: {kind.__name__} takes {', '.join(sorted(names))}, got {', '.join(unknown)}")
    return kind(source, **options)
