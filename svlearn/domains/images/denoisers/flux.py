"""The transformer of Flux."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised
from svlearn.domains.images.denoisers.embeddings import Conditions, Encoded
from svlearn.domains.images.denoisers.features import as_map, middle_block, with_features
from svlearn.domains.images.denoisers.prompted import Prompted, check_parts, default_of, latent_shape
from svlearn.domains.images.denoisers.shifting import dynamic_shift
from svlearn.randomness import device_of

TRAINING_STEPS = 1000  # the network reads σ, its pipeline divides the timesteps by this


class Flux(Prompted):
    """diffusers' `FluxTransformer2DModel` in its `FluxPipeline`.

    States are latents (B, C, h, w); they are packed into tokens of 2 x 2 for the network. guidance_scale: what the
    network reads where it was distilled from guidance: one evaluation, and no negative prompt; None: the default of the
    pipeline's own call. height, width: of an image in pixels; None: as in the pipeline. max_sequence_length: of the T5
    encoder's tokens; None: as the pipeline's own call has it. Features (B, D, h/2, w/2) are the image's tokens after
    the middle block. options: see `Prompted`.
    Raises ValueError for a pipeline that lacks a part, and for a guidance_scale where the network reads none.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        guidance_scale: float | None = None,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        **options: Any,
    ):
        check_parts(pipeline, "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
        network = pipeline.transformer
        self.distilled = bool(network.config.guidance_embeds)
        if not self.distilled and guidance_scale is not None:
            raise ValueError(
                f"guidance_scale: expected None, for this {type(network).__name__} reads none (its configuration has "
                f"guidance_embeds=False), got {guidance_scale}"
            )
        shape = latent_shape(pipeline, network.config.in_channels // 4, pipeline.default_sample_size, height, width, 2)
        super().__init__(pipeline, network, shape, guidance_scale=guidance_scale, **options)
        length = default_of(pipeline, "max_sequence_length", 512)
        self.max_sequence_length = length if max_sequence_length is None else max_sequence_length

    @property
    def guided(self) -> bool:
        """False: guidance is an input."""
        return False

    def encode(self, prompt: str, negative: str) -> Encoded:
        embeds, pooled, _ = self.encoding.encode_prompt(
            prompt=[prompt],
            prompt_2=None,
            device=device_of(self.text_encoders),
            max_sequence_length=self.max_sequence_length,
        )
        return Encoded({"embeds": embeds, "pooled": pooled})

    def call(self, sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Denoised:
        size, channels, height, width = sample.shape
        device, dtype = sample.device, sample.dtype
        embeds = conditions["embeds"].to(dtype)
        guidance = torch.full((size,), self.guidance_scale, device=device) if self.distilled else None
        ids = self.encoding._prepare_latent_image_ids(size, height // 2, width // 2, device, dtype)

        def run() -> Any:
            return self.network(
                hidden_states=self.encoding._pack_latents(sample.contiguous(), size, channels, height, width),
                timestep=timesteps.to(dtype) / TRAINING_STEPS,
                guidance=guidance,
                pooled_projections=conditions["pooled"].to(dtype),
                encoder_hidden_states=embeds,
                txt_ids=torch.zeros(embeds.shape[1], 3, device=device, dtype=dtype),
                img_ids=ids,
                return_dict=False,
            )[0]

        packed, tokens = with_features(middle_block(self.network), run, entry=1)
        scale = self.encoding.vae_scale_factor
        output = self.encoding._unpack_latents(packed, height * scale, width * scale, scale)
        return Denoised(output, as_map(tokens, height // 2, width // 2))

    def schedule_options(self, scheduler: Any, num_steps: int) -> dict[str, Any]:
        tokens = self.shape[1] * self.shape[2] // 4
        options: dict[str, Any] = {"mu": dynamic_shift(scheduler, tokens)}
        if not getattr(scheduler.config, "use_flow_sigmas", False):
            options["sigmas"] = np.linspace(1.0, 1 / num_steps, num_steps)
        return options
