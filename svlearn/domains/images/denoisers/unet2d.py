"""Networks of (sample, timestep), with a class or without one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from svlearn.arguments import expect, integer, integers, real
from svlearn.domains.images.denoisers.denoiser import Denoised, Denoiser
from svlearn.domains.images.denoisers.features import with_features
from svlearn.domains.images.denoisers.guidance import classifier_free


class UNet2D(Denoiser):
    """A network called as diffusers' `UNet2DModel` is: network(sample, timestep), or (sample, timestep, class_labels).

    network: returns the output (B, C, H, W), or an object that has it as `sample`; one of 2 C channels, whose second
    half is a variance, is read by its first half. Features are those of its `mid_block`, where it has one.
    shape: (C, H, W) of a sample; None: as the network's configuration says.
    num_classes: of classes 0 ... num_classes - 1, in the leaf "class" (B,), long; None: those of the configuration's
    `num_class_embeds`, the null class apart. null_class: stands for no class, None: there is none, or the last
    embedding where guidance_scale is not 1. guidance_scale: of classifier-free guidance, which takes two evaluations.
    reads_class: False: the network is called with the null class whatever the leaf says: an unconditional process whose
    rewards, values and policies know what is wanted of each sample.
    Raises ValueError for guidance without a null class, and where the class is not read; TypeError for no module.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[int, int, int] | None = None,
        *,
        num_classes: int | None = None,
        null_class: int | None = None,
        guidance_scale: float = 1.0,
        reads_class: bool = True,
    ):
        super().__init__()
        self.network = expect(network, nn.Module, "network")
        self.shape = _shape_of(network) if shape is None else _as_shape(shape)
        embeddings = getattr(getattr(network, "config", None), "num_class_embeds", None)
        self.guidance_scale = real(guidance_scale, "guidance_scale", 0)
        self.reads_class = bool(reads_class)
        needs_null = self.guidance_scale != 1 or not self.reads_class
        if null_class is None and needs_null and num_classes is None and embeddings is not None:
            null_class = embeddings - 1
        if num_classes is None and embeddings is not None:
            num_classes = embeddings - (null_class == embeddings - 1)
        self.num_classes = None if num_classes is None else integer(num_classes, "num_classes")
        self.null_class = None if null_class is None else integer(null_class, "null_class", 0)
        if needs_null and self.null_class is None:
            raise ValueError(
                f"guidance_scale, reads_class: expected 1 and True for a network without a null class, got "
                f"{self.guidance_scale} and {self.reads_class}; name the class that stands for none by null_class="
            )
        if self.guidance_scale != 1 and not self.reads_class:
            raise ValueError(f"guidance_scale: expected 1 where the class is not read, got {self.guidance_scale}")

    def forward(self, sample: Tensor, timesteps: Tensor, leaves: Mapping[str, Tensor]) -> Denoised:
        if self.num_classes is None:
            return self._call(sample, timesteps, {})
        classes = leaves["class"]
        if self.null_class is None or (self.guidance_scale == 1 and self.reads_class):
            return self._call(sample, timesteps, {"class": classes})
        null = torch.full_like(classes, self.null_class)
        if not self.reads_class:
            return self._call(sample, timesteps, {"class": null})
        guided = classes != self.null_class
        scale = self.guidance_scale
        return classifier_free(self._call, sample, timesteps, {"class": classes}, {"class": null}, scale, guided)

    def leaves(self, batch_size: int, condition: Any) -> dict[str, Tensor]:
        """condition: classes (B,), integers, also as {"class": ...}; None: the null class.

        Raises ValueError for classes that are not there, another number of them, and none where no class is null."""
        if self.num_classes is None:
            return super().leaves(batch_size, condition)
        if condition is None:
            if self.null_class is None:
                raise ValueError(
                    f"condition: expected classes of 0 ... {self.num_classes - 1}, one for each sample, got none; a "
                    "network that was trained with a class for none says which by null_class="
                )
            return {"class": torch.full((batch_size,), self.null_class)}
        if isinstance(condition, Mapping):
            if set(condition) != {"class"}:
                raise ValueError(f"condition: expected the key 'class', got {', '.join(map(repr, condition))}")
            condition = condition["class"]
        classes = integers(condition.tolist() if isinstance(condition, Tensor) else condition, "condition", 0)
        null = [] if self.null_class is None else [self.null_class]
        allowed = {*range(self.num_classes), *null}
        for place, each in enumerate(classes):
            if each not in allowed:
                raise ValueError(f"condition[{place}]: expected a class of 0 ... {self.num_classes - 1}, got {each}")
        if len(classes) != batch_size:
            raise ValueError(f"condition: expected {batch_size} classes, one for each sample, got {len(classes)}")
        return {"class": torch.tensor(classes)}

    def _call(self, sample: Tensor, timesteps: Tensor, conditions: Mapping[str, Tensor]) -> Denoised:
        def run() -> Any:
            labels = {"class_labels": conditions["class"]} if conditions else {}
            return self.network(sample, timesteps, **labels)

        said, features = with_features(getattr(self.network, "mid_block", None), run)
        output = said if isinstance(said, Tensor) else said.sample
        channels = sample.shape[1]
        return Denoised(output[:, :channels] if output.shape[1] == 2 * channels else output, features)


def _shape_of(network: nn.Module) -> tuple[int, int, int]:
    config = getattr(network, "config", None)
    size, channels = getattr(config, "sample_size", None), getattr(config, "in_channels", None)
    if size is None or channels is None:
        raise ValueError(
            f"shape: expected (channels, height, width), for {type(network).__name__} does not say what it reads"
        )
    height, width = (size, size) if isinstance(size, int) else size
    return _as_shape((channels, height, width))


def _as_shape(shape: Any) -> tuple[int, int, int]:
    sizes = integers(shape, "shape")
    if len(sizes) != 3:
        raise ValueError(f"shape: expected (channels, height, width), got {tuple(sizes)}")
    return sizes[0], sizes[1], sizes[2]
