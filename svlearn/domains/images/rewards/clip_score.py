"""How like images are to their prompts, in embeddings of CLIP: what several rewards share, and the CLIP score."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from svlearn.domains.images.rewards.checks import check_images
from svlearn.domains.images.rewards.clip import CLIP
from svlearn.domains.images.rewards.prompts import Prompted
from svlearn.domains.images.rewards.weights import keep_names


class PromptSimilarity(Prompted):
    """r(x) = cos(CLIP(x), CLIP(prompt)), in [-1, 1], (B,), of images (B, C, H, W) in [0, 1]; differentiable.

    model, tokenizer, fit: see `CLIP`. prompt: see `Prompted`; prompts: (B, L) uint8, as states hold them, or a list of
    B texts. Raises what `CLIP`, `texts_of` and `check_images` raise.
    """

    def __init__(self, model: Any, tokenizer: Any = None, prompt: str | None = None, fit: str = "crop"):
        super().__init__(prompt)
        keep_names(self, model=model, tokenizer=tokenizer)
        self.fit = fit
        self.clip = CLIP(model, tokenizer, fit)

    def forward(self, images: Tensor, prompts: Tensor | Sequence[str] | None = None) -> Tensor:
        check_images(images, self)
        texts = self.clip.of_texts(self.texts(images, prompts))
        return (self.clip.of_images(images) * texts).sum(dim=1)

    def forget(self) -> None:
        """Empty what is remembered of prompts."""
        self.clip.remembered.entries.clear()


class CLIPScore(PromptSimilarity):
    """r(x) = 100 max(cos(CLIP(x), CLIP(prompt)), 0), in [0, 100], (B,).

    The scale is that of torchmetrics; that of the paper is 2.5 in the place of 100, and its texts begin with "A photo
    depicts". Source: CLIPScore (arXiv 2104.08718, equation 1).
    """

    def __init__(self, model: Any = "openai/clip-vit-large-patch14", tokenizer: Any = None, prompt: str | None = None):
        super().__init__(model, tokenizer, prompt)

    def forward(self, images: Tensor, prompts: Tensor | Sequence[str] | None = None) -> Tensor:
        return 100 * super().forward(images, prompts).clamp(min=0)
