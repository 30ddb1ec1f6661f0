"""What all networks that read a prompt share: its leaves, its embeddings and guidance by it."""

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import integer, real
from svlearn.domains.images.denoisers.denoiser import Denoised, Denoiser
from svlearn.domains.images.denoisers.embeddings import Conditions, EmbeddingCache, Encoded
from svlearn.domains.images.denoisers.guidance import classifier_free
from svlearn.domains.images.prompts import leaf_of, to_texts
from svlearn.modes import evaluating
from svlearn.randomness import device_of

ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


class Prompted(Denoiser):
    """A network of a diffusers pipeline that reads what the pipeline's text encoders say of a prompt.

    States have a leaf "prompt" (B, 512), UTF-8 padded with 0, and "negative_prompt" where guidance is on. Each pair of
    the two is encoded once, by `pipeline.encode_prompt` alone, without a gradient, and kept; the text encoders are
    frozen. A subclass checks the parts that it needs, and writes `encode` and `call`.

    guidance_scale: of classifier-free guidance, two evaluations of the network; as in diffusers one of at most 1 means
    none; None: the default of the pipeline's own call. prompts_kept: how many pairs are kept, the last read ones:
    a pair takes 0.5 MB of Stable Diffusion 1.5 in float32, 5 MB of 3 with its T5 encoder in half precision.
    """

    network: Any

    def __init__(
        self,
        pipeline: Any,
        network: nn.Module,
        shape: tuple[int, int, int],
        *,
        guidance_scale: float | None = None,
        prompts_kept: int = 1024,
    ):
        super().__init__()
        self.network, self.shape = network, shape
        encoders = {name: getattr(pipeline, name, None) for name in ENCODERS}
        self.text_encoders = nn.ModuleDict({name: each for name, each in encoders.items() if each is not None})
        self.text_encoders.requires_grad_(False)
        scale = default_of(pipeline, "guidance_scale", 1.0) if guidance_scale is None else guidance_scale
        self.guidance_scale = real(scale, "guidance_scale", 0)
        self.encoding, self.embeddings = pipeline, EmbeddingCache(prompts_kept)

    @property
    def guided(self) -> bool:
        """Whether the network is called with the negative prompt too."""
        return self.guidance_scale > 1

    @abstractmethod
    def encode(self, prompt: str, negative: str) -> Encoded:
        """What the network reads of one prompt, and where it is `guided` of a negative one, ("": as of none)."""

    @abstractmethod
    def call(self, sample: Tensor, timesteps: Tensor, conditions: Conditions) -> Denoised:
        """One call of the network under what `encode` gave, (B, ...)."""

    def forward(self, sample: Tensor, timesteps: Tensor, leaves: Mapping[str, Tensor]) -> Denoised:
        encoded = self.embed(leaves)
        conditions = {name: each.to(sample.device) for name, each in encoded.conditions.items()}
        if encoded.null is None:
            return self.call(sample, timesteps, conditions)
        null = {name: each.to(sample.device) for name, each in encoded.null.items()}
        return classifier_free(self.call, sample, timesteps, conditions, null, self.guidance_scale)

    def embed(self, leaves: Mapping[str, Tensor]) -> Encoded:
        """The embeddings (B, ...) of the leaves' prompts."""
        chosen = {name: each for name, each in vars(self).items() if isinstance(each, (bool, int, float))}
        self.embeddings.follow(self.text_encoders, chosen)
        prompts = to_texts(leaves["prompt"])
        reads = self.guided and "negative_prompt" in leaves
        negatives = to_texts(leaves["negative_prompt"]) if reads else [""] * len(prompts)
        return self.embeddings.gather(list(zip(prompts, negatives, strict=True)), self._encode)

    def leaves(self, batch_size: int, condition: Any) -> dict[str, Tensor]:
        """condition: prompts, a list of B, or {"prompt": ..., "negative_prompt": ...}; None: the empty prompt.

        Raises ValueError for another number of prompts, for one that is too long and for unknown keys, TypeError for
        what are no prompts, as classes."""
        given = dict(condition) if isinstance(condition, Mapping) else {"prompt": condition}
        names = ("prompt", "negative_prompt") if self.guided else ("prompt",)
        for name in given:
            if name == "negative_prompt" and not self.guided:
                raise ValueError(
                    f"condition: expected no negative_prompt without guidance, whose scale is {self.guidance_scale:g}"
                )
            if name not in names:
                raise ValueError(f"condition: expected keys of {', '.join(names)}, got {name!r}")
        whole = condition is None or not isinstance(condition, Mapping)
        words = {name: "condition" if whole else f"condition[{name!r}]" for name in names}
        return {name: leaf_of(given.get(name), batch_size, words[name]) for name in names}

    def ask(self, prompt: str, negatives: list[str] | None, **options: Any) -> Sequence[Any]:
        """What `pipeline.encode_prompt` says of a prompt, and of a negative one."""
        said: Sequence[Any] = self.encoding.encode_prompt(
            prompt=[prompt],
            device=device_of(self.text_encoders),
            num_images_per_prompt=1,
            do_classifier_free_guidance=self.guided,
            negative_prompt=negatives,
            **options,
        )
        return said

    def _encode(self, prompt: str, negative: str) -> Encoded:
        """As what is kept: it may be part of a gradient later, and read outside `autocast`, whoever asks first."""
        kind = device_of(self.text_encoders).type
        whole = torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
        with torch.inference_mode(False), torch.no_grad(), whole, evaluating(self.text_encoders):
            return self.encode(prompt, negative)

    def _apply(self, fn: Any, recurse: bool = True) -> "Prompted":
        """Elsewhere, or in another dtype, the embeddings are others."""
        self.embeddings.clear()
        super()._apply(fn, recurse)
        return self


def check_parts(pipeline: Any, *needs: str) -> None:
    """Raise ValueError where a pipeline lacks one of its parts."""
    for part in needs:
        if getattr(pipeline, part, None) is None:
            kind = type(pipeline).__name__
            raise ValueError(
                f"pipeline: expected a {kind} with its {part}, got one without; load it whole, or set pipeline.{part}"
            )


def default_of(pipeline: Any, name: str, otherwise: Any) -> Any:
    """The default that the pipeline's own call has for a keyword."""
    parameter = inspect.signature(type(pipeline).__call__).parameters.get(name)
    return otherwise if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default


def latent_shape(
    pipeline: Any, channels: int, sample_size: Any, height: int | None, width: int | None, multiple: int = 1
) -> tuple[int, int, int]:
    """(C, h, w) of the latents of an image of height x width pixels; None: of the size that the network was made for.

    multiple: of how many latents a side must be. Raises ValueError for a size that is no multiple."""
    scale = pipeline.vae_scale_factor
    own = (sample_size, sample_size) if isinstance(sample_size, int) else tuple(sample_size)
    sides = []
    for name, side, latents in (("height", height, own[0]), ("width", width, own[1])):
        pixels = latents * scale if side is None else integer(side, name)
        if pixels % (scale * multiple):
            raise ValueError(f"{name}: expected a multiple of {scale * multiple} pixels, got {pixels}")
        sides.append(pixels // scale)
    return channels, sides[0], sides[1]
