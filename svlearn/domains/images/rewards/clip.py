"""Embeddings of images and texts by transformers' CLIP (arXiv 2103.00020)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from svlearn.domains.images.rewards.preprocessing import cropped, normalised, padded
from svlearn.domains.images.rewards.prompts import Remembered
from svlearn.domains.images.rewards.tokens import Tokenizer
from svlearn.domains.images.rewards.weights import reading

FITS = {"crop": cropped, "pad": padded}


class CLIP(nn.Module):
    """Embeddings of length 1, float32 (B, E), of images (B, C, H, W) in [0, 1], differentiable, and of texts.

    model: a CLIPModel or, for images alone, a CLIPVisionModelWithProjection; or the folder or published name of one,
    whose weights are read from safetensors. It is put into evaluation mode and frozen, and computes in its own dtype.
    tokenizer: of the texts, as it is, a folder or a name; None: that of the model, where it was named.
    fit: "crop" the middle of an image that is not square, or "pad" it with black. texts: False leaves out what reads
    texts of a model that is named.
    Raises TypeError for what is no such model, OSError, saying what to do, where there is none to read or to fetch.
    """

    model: Any

    def __init__(self, model: Any, tokenizer: Any = None, fit: str = "crop", texts: bool = True):
        super().__init__()
        if fit not in FITS:
            raise ValueError(f"fit: expected one of {', '.join(FITS)}, got {fit!r}")
        self.fit = fit
        if isinstance(model, (str, Path)):
            tokenizer, model = model if tokenizer is None else tokenizer, _read_model(model, texts)
        if not isinstance(model, nn.Module) or not hasattr(model, "visual_projection"):
            raise TypeError(f"model: expected a CLIPModel of transformers, or its name, got {type(model).__name__}")
        self.model = model.eval().requires_grad_(False)
        self.tokens = None
        if hasattr(model, "text_projection") and tokenizer is not None:
            self.tokens = Tokenizer(tokenizer, self.model.config.text_config.max_position_embeddings)
        self.remembered = Remembered()

    @property
    def width(self) -> int:
        """E."""
        return self.model.visual_projection.out_features

    def of_images(self, images: Tensor) -> Tensor:
        """Embeddings (B, E) of images (B, C, H, W)."""
        config = getattr(self.model.config, "vision_config", self.model.config)
        pixels = normalised(FITS[self.fit](images, config.image_size))
        pooled = self.model.vision_model(pixel_values=pixels.to(self.model.visual_projection.weight.dtype))[1]
        return F.normalize(self.model.visual_projection(pooled).float(), dim=1)

    def of_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, E) of texts, each computed once, cut where they are too long for the model.

        Raises ValueError without a tokenizer and of a model without texts.
        """
        device = self.model.visual_projection.weight.device
        return self.remembered.of(texts, self._embed).to(device)

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> Tensor:
        if self.tokens is None:
            raise ValueError("tokenizer: expected that of a CLIPModel, by which texts are read, got none")
        pooled = self.model.text_model(**self.tokens(texts, self.model.text_projection.weight.device))[1]
        return F.normalize(self.model.text_projection(pooled).float(), dim=1)


def _read_model(name: str | Path, texts: bool) -> Any:
    from transformers import AutoConfig, CLIPModel, CLIPVisionModelWithProjection

    with reading(name):
        kind = AutoConfig.from_pretrained(str(name)).model_type
        if kind not in ("clip", "clip_vision_model"):
            raise TypeError(f"model: expected a CLIP model at {str(name)!r}, got one of type {kind!r}")
        made: Any = CLIPModel if texts and kind == "clip" else CLIPVisionModelWithProjection
        return made.from_pretrained(str(name), use_safetensors=True)
