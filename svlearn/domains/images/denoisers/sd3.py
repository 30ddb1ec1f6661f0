"""The transformer of Stable Diffusion 3."""

from typing import Any

from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised
from svlearn.domains.images.denoisers.embeddings import Conditions, Encoded
from svlearn.domains.images.denoisers.features import as_map, middle_block, with_features
from svlearn.domains.images.denoisers.prompted import Prompted, check_parts, default_of, latent_shape
from svlearn.domains.images.denoisers.shifting import dynamic_shift


class SD3(Prompted):
    """diffusers' `SD3Transformer2DModel` in its `StableDiffusion3Pipeline` (arXiv 2403.03206).

    height, width: of an image in pixels; None: as the network was trained. max_sequence_length: of the T5 encoder's
    tokens; None: as the pipeline's own call has it. Features (B, D, h, w) are the image's tokens after the middle
    block. options: see `Prompted`. Raises ValueError for a pipeline that lacks a part; the T5 encoder may be missing.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        **options: Any,
    ):
        check_parts(pipeline, "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
        network = pipeline.transformer
        config = network.config
        shape = latent_shape(pipeline, config.in_channels, config.sample_size, height, width, config.patch_size)
        super().__init__(pipeline, network, shape, **options)
        self.patches = shape[1] // config.patch_size, shape[2] // config.patch_size
        length = default_of(pipeline, "max_sequence_length", 256)
        self.max_sequence_length = length if max_sequence_length is None else max_sequence_length

    def encode(self, prompt: str, negative: str) -> Encoded:
        options = {"prompt_2": None, "prompt_3": None, "max_sequence_length": self.max_sequence_length}
        embeds, null, pooled, null_pooled = self.ask(prompt, [negative] if negative else None, **options)
        nulls = {"embeds": null, "pooled": null_pooled} if self.guided else None
        return Encoded({"embeds": embeds, "pooled": pooled}, nulls)

    def call(self, sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Denoised:
        def run() -> Any:
            return self.network(
                hidden_states=sample,
                timestep=timesteps,
                encoder_hidden_states=conditions["embeds"].to(sample.dtype),
                pooled_projections=conditions["pooled"].to(sample.dtype),
                return_dict=False,
            )[0]

        output, tokens = with_features(middle_block(self.network), run, entry=1)
        return Denoised(output, as_map(tokens, *self.patches))

    def schedule_options(self, scheduler: Any, num_steps: int) -> dict[str, Any]:
        if not scheduler.config.get("use_dynamic_shifting", False):
            return {}
        return {"mu": dynamic_shift(scheduler, self.patches[0] * self.patches[1], most=1.16)}
