"""ImageReward: how well an image fits a prompt and looks, as people rated it, by BLIP and a head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from svlearn.arguments import expect
from svlearn.domains.images.rewards.blip import BlipScore, read_blip_score
from svlearn.domains.images.rewards.checks import check_images
from svlearn.domains.images.rewards.prompts import Prompted
from svlearn.domains.images.rewards.tokens import Tokenizer
from svlearn.domains.images.rewards.weights import keep_names, published

REPOSITORY, FILE = "THUDM/ImageReward", "ImageReward.pt"
MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of the head's output over the authors' data
LONGEST = 35  # tokens of a prompt


class ImageReward(Prompted):
    """r(x) = (head(BLIP(x, prompt)) - mean)/std, (B,), of images (B, C, H, W) in [0, 1]; differentiable.

    BLIP(x, prompt): the first output of a text encoder that attends to the image, by ViT-L/16. mean, std: the authors'.
    model: "THUDM/ImageReward", whose file they publish; such a file, a path; or a `BlipScore`. tokenizer: of BERT,
    uncased, as it is, a folder or a name. prompt: see `Prompted`; prompts: (B, L) uint8, as states hold them, or texts,
    of which 35 tokens are read. Raises ValueError for a file of other weights, OSError where there is none to fetch.
    Source: ImageReward (arXiv 2304.05977).
    """

    def __init__(
        self, model: Any = REPOSITORY, tokenizer: Any = "google-bert/bert-base-uncased", prompt: str | None = None
    ):
        super().__init__(prompt)
        keep_names(self, model=model, tokenizer=tokenizer)
        if isinstance(model, (str, Path)):
            model = read_blip_score(published(REPOSITORY, FILE) if str(model) == REPOSITORY else model)
        self.network = expect(model, BlipScore, "model").eval().requires_grad_(False)
        self.tokens = Tokenizer(tokenizer, LONGEST, "max_length")

    def forward(self, images: Tensor, prompts: Tensor | Sequence[str] | None = None) -> Tensor:
        check_images(images, self)
        tokens = self.tokens(self.texts(images, prompts), images.device)
        return (self.network(images, tokens["input_ids"], tokens["attention_mask"]) - MEAN) / STD
