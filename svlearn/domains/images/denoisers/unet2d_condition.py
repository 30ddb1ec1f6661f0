"""The UNet of Stable Diffusion 1.5, 2 and XL."""

from typing import Any

import torch
from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised
from svlearn.domains.images.denoisers.embeddings import Conditions, Encoded
from svlearn.domains.images.denoisers.features import with_features
from svlearn.domains.images.denoisers.prompted import Prompted, check_parts, latent_shape


class UNet2DCondition(Prompted):
    """diffusers' `UNet2DConditionModel` in its `StableDiffusionPipeline` or `StableDiffusionXLPipeline`.

    height, width: of an image in pixels; None: as the network was trained. Of XL they are its size conditions too, as
    in its pipeline, and an empty negative prompt is zeros where its configuration says so. Features are those of the
    `mid_block`. options: see `Prompted`.
    Raises ValueError for a pipeline that lacks a part, and for a network that reads other channels than the latents,
    as one for inpainting does.
    """

    time_ids: Tensor | None
    time_condition: Tensor | None

    def __init__(self, pipeline: Any, *, height: int | None = None, width: int | None = None, **options: Any):
        check_parts(pipeline, *_needs(pipeline))
        network = pipeline.unet
        config = network.config
        channels = pipeline.vae.config.latent_channels
        if config.in_channels != channels:
            raise ValueError(
                f"pipeline: expected a unet that reads the {channels} channels of the latents, got one of "
                f"{config.in_channels}, as those for inpainting and editing have"
            )
        shape = latent_shape(pipeline, channels, config.sample_size, height, width)
        super().__init__(pipeline, network, shape, **options)
        self.large = config.addition_embed_type == "text_time"
        self.register_buffer("time_ids", _time_ids(pipeline, shape) if self.large else None)
        self.register_buffer("time_condition", _time_condition(pipeline, self.guidance_scale))

    @property
    def guided(self) -> bool:
        """Not by the negative prompt where the network reads the scale itself (`time_cond_proj_dim`)."""
        return super().guided and self.network.config.time_cond_proj_dim is None

    def encode(self, prompt: str, negative: str) -> Encoded:
        if not self.large:
            embeds, null = self.ask(prompt, [negative] if negative else None)
            return Encoded({"embeds": embeds}, {"embeds": null} if self.guided else None)
        embeds, null, pooled, null_pooled = self.ask(prompt, [negative] if negative else None)
        nulls = {"embeds": null, "pooled": null_pooled} if self.guided else None
        return Encoded({"embeds": embeds, "pooled": pooled}, nulls)

    def call(self, sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Denoised:
        dtype, size = sample.dtype, len(sample)
        options: dict[str, Any] = {}
        if self.time_ids is not None:
            time_ids = self.time_ids.to(dtype).expand(size, -1)
            options["added_cond_kwargs"] = {"text_embeds": conditions["pooled"].to(dtype), "time_ids": time_ids}
        if self.time_condition is not None:
            options["timestep_cond"] = self.time_condition.to(dtype).expand(size, -1)

        def run() -> Any:
            embeds = conditions["embeds"].to(dtype)
            return self.network(sample, timesteps, encoder_hidden_states=embeds, return_dict=False, **options)[0]

        return Denoised(*with_features(getattr(self.network, "mid_block", None), run))


def _needs(pipeline: Any) -> tuple[str, ...]:
    if not hasattr(pipeline, "text_encoder_2"):
        return "vae", "text_encoder", "tokenizer"
    first = ("text_encoder",) if getattr(pipeline, "tokenizer", None) is not None else ()  # the refiner has one alone
    return ("vae", *first, "text_encoder_2", "tokenizer_2")


def _time_ids(pipeline: Any, shape: tuple[int, int, int]) -> Tensor:
    size = tuple(side * pipeline.vae_scale_factor for side in shape[1:])
    width = pipeline.text_encoder_2.config.projection_dim
    ids = pipeline._get_add_time_ids(size, (0, 0), size, dtype=torch.float32, text_encoder_projection_dim=width)
    return torch.as_tensor(ids)


def _time_condition(pipeline: Any, guidance_scale: float) -> Tensor | None:
    size = pipeline.unet.config.time_cond_proj_dim
    if size is None:
        return None
    return torch.as_tensor(pipeline.get_guidance_scale_embedding(torch.tensor([guidance_scale - 1]), size))
