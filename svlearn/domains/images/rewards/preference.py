"""What people prefer of two images of one prompt, as CLIP was fine-tuned to say it: PickScore and HPSv2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from svlearn.domains.images.rewards.clip_score import PromptSimilarity
from svlearn.domains.images.rewards.open_clip import read_open_clip
from svlearn.domains.images.rewards.weights import keep_names, published

VIT_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"  # whose tokenizer both have
HPS_REPOSITORY = "xswu/HPSv2"
HPS_FILES = {"v2.0": "HPS_v2_compressed.pt", "v2.1": "HPS_v2.1_compressed.pt"}


class PickScore(PromptSimilarity):
    """r(x) = exp(logit scale) · cos(CLIP(x), CLIP(prompt)), nats of a preference, (B,); about 15 to 25.

    Of images (B, C, H, W) in [0, 1], differentiable: P(x is preferred to y) = sigmoid(r(x) - r(y)).
    model, tokenizer, prompt: see `PromptSimilarity`. Source: Pick-a-Pic (arXiv 2305.01569, equation 1).
    """

    def __init__(self, model: Any = "yuvalkirstain/PickScore_v1", tokenizer: Any = VIT_H, prompt: str | None = None):
        super().__init__(model, tokenizer, prompt)

    def forward(self, images: Tensor, prompts: Tensor | Sequence[str] | None = None) -> Tensor:
        return self.clip.model.logit_scale.exp().float() * super().forward(images, prompts)


class HPSv2(PromptSimilarity):
    """r(x) = cos(CLIP(x), CLIP(prompt)), (B,), by the CLIP of the human preference score; about 0.2 to 0.35.

    Of images (B, C, H, W) in [0, 1], differentiable; one that is not square is padded, as its code does.
    model: "v2.0" or "v2.1", whose file the authors publish; such a file, a path, of which the weights of open_clip's
    ViT-H-14 are read into a CLIPModel; or what `CLIP` takes. tokenizer, prompt: see `PromptSimilarity`.
    Raises what `CLIP` and `read_open_clip` raise. Source: HPS v2 (arXiv 2306.09341), whose tables have 100 times it.
    """

    def __init__(self, model: Any = "v2.1", tokenizer: Any = VIT_H, prompt: str | None = None):
        given = model
        if isinstance(model, str) and model in HPS_FILES:
            model = published(HPS_REPOSITORY, HPS_FILES[model])
        if isinstance(model, (str, Path)) and Path(model).suffix in (".pt", ".safetensors"):
            model = read_open_clip(model)
        super().__init__(model, tokenizer, prompt, fit="pad")
        keep_names(self, model=given)
