"""The transformer of PixArt."""

from typing import Any

import torch
from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised
from svlearn.domains.images.denoisers.embeddings import Conditions, Encoded
from svlearn.domains.images.denoisers.features import as_map, middle_block, with_features
from svlearn.domains.images.denoisers.prompted import Prompted, check_parts, default_of, latent_shape


class PixArt(Prompted):
    """diffusers' `PixArtTransformer2DModel` in its `PixArtAlphaPipeline` (arXiv 2310.00426) or `PixArtSigmaPipeline`.

    Of a network that learned a variance too, the first half of the channels is read. height, width: of an image in
    pixels, not rounded to those of its training; None: as the network was trained. max_sequence_length, clean_caption:
    of the prompt; None: as the pipeline's own call has them. Features (B, D, h, w) are the tokens after the middle
    block. options: see `Prompted`. Raises ValueError for a pipeline that lacks a part.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        clean_caption: bool | None = None,
        **options: Any,
    ):
        check_parts(pipeline, "vae", "text_encoder", "tokenizer")
        network = pipeline.transformer
        config = network.config
        shape = latent_shape(pipeline, config.in_channels, config.sample_size, height, width, config.patch_size)
        super().__init__(pipeline, network, shape, **options)
        self.patches = shape[1] // config.patch_size, shape[2] // config.patch_size
        length = default_of(pipeline, "max_sequence_length", 120)
        self.max_sequence_length = length if max_sequence_length is None else max_sequence_length
        cleans = default_of(pipeline, "clean_caption", False)
        self.clean_caption = cleans if clean_caption is None else clean_caption

    def encode(self, prompt: str, negative: str) -> Encoded:
        options = {"max_sequence_length": self.max_sequence_length, "clean_caption": self.clean_caption}
        embeds, mask, null, null_mask = self.ask(prompt, [negative], **options)
        return Encoded({"embeds": embeds, "mask": mask}, {"embeds": null, "mask": null_mask} if self.guided else None)

    def call(self, sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Denoised:
        channels = sample.shape[1]

        def run() -> Any:
            return self.network(
                sample,
                encoder_hidden_states=conditions["embeds"].to(sample.dtype),
                encoder_attention_mask=conditions["mask"],
                timestep=timesteps,
                added_cond_kwargs=self._sizes(sample),
                return_dict=False,
            )[0]

        output, tokens = with_features(middle_block(self.network), run)
        return Denoised(output[:, :channels], as_map(tokens, *self.patches))

    def _sizes(self, sample: Tensor) -> dict[str, Tensor | None]:
        """The micro-conditions of a network that was trained with them: pixels and their ratio."""
        if not self.network.use_additional_conditions:
            return {"resolution": None, "aspect_ratio": None}
        height, width = (side * self.encoding.vae_scale_factor for side in self.shape[1:])
        sizes = torch.tensor([[height, width]], dtype=sample.dtype, device=sample.device).expand(len(sample), -1)
        ratio = torch.full((len(sample), 1), height / width, dtype=sample.dtype, device=sample.device)
        return {"resolution": sizes, "aspect_ratio": ratio}
