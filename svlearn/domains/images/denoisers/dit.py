"""The transformer of DiT, with classes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from svlearn.domains.images.denoisers.denoiser import Denoised
from svlearn.domains.images.denoisers.features import as_map, middle_block, with_features
from svlearn.domains.images.denoisers.prompted import check_parts, default_of
from svlearn.domains.images.denoisers.unet2d import UNet2D


class DiT(UNet2D):
    """diffusers' `DiTTransformer2DModel` in its `DiTPipeline` (arXiv 2212.09748).

    The classes are those of its embedding, and the one after the last stands for none. guidance_scale: of
    classifier-free guidance; None: the default of the pipeline's own call. Of a network that learned a variance too,
    the first half of the channels is read. Features (B, D, h, w) are the tokens after the middle block.
    Raises ValueError for a pipeline without its autoencoder.
    """

    def __init__(self, pipeline: Any, *, guidance_scale: float | None = None):
        check_parts(pipeline, "vae")
        network = pipeline.transformer
        scale = default_of(pipeline, "guidance_scale", 1.0) if guidance_scale is None else guidance_scale
        classes = network.config.num_embeds_ada_norm
        super().__init__(network, num_classes=classes, null_class=classes, guidance_scale=scale)

    def _call(self, sample: Tensor, timesteps: Tensor, conditions: Mapping[str, Tensor]) -> Denoised:
        channels, patch = sample.shape[1], self.network.config.patch_size

        def run() -> Any:
            return self.network(sample, timestep=timesteps, class_labels=conditions["class"], return_dict=False)[0]

        output, tokens = with_features(middle_block(self.network), run)
        return Denoised(output[:, :channels], as_map(tokens, self.shape[1] // patch, self.shape[2] // patch))
