"""How well people would rate the looks of an image, by the LAION aesthetic predictor."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from svlearn.assets import fetch
from svlearn.domains.images.rewards.checks import check_images
from svlearn.domains.images.rewards.clip import CLIP
from svlearn.domains.images.rewards.heads import WIDTH, score_head
from svlearn.domains.images.rewards.weights import keep_names, read_weights

HEAD = "images/laion_aesthetic_v2_head.pth"
KIND = "the head of the LAION aesthetic predictor"


class AestheticScore(nn.Module):
    """r(x) = head(CLIP(x)), a rating of about 1 to 10, (B,), of images (B, C, H, W) in [0, 1]; differentiable.

    CLIP(x): the embedding by ViT-L/14, of length 1. model: see `CLIP`; its embeddings have 768 numbers. head: the file
    of one, of torch.save or safetensors; None: the public one of version 2, fetched where it is not there yet.
    Raises what `CLIP` raises, ValueError for embeddings of another width and a file that is no such head.
    Source: christophschuhmann/improved-aesthetic-predictor, the reward of DDPO (arXiv 2305.13301) and SVDD.
    """

    def __init__(self, model: Any = "openai/clip-vit-large-patch14", head: str | Path | None = None):
        super().__init__()
        keep_names(self, model=model, head=head)
        self.clip = CLIP(model, texts=False)
        if self.clip.width != WIDTH:
            raise ValueError(f"model: expected embeddings of {WIDTH} numbers, as of ViT-L/14, got {self.clip.width}")
        self.layers = read_head(fetch(HEAD) if head is None else head)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self)
        embeddings = self.clip.of_images(images).to(next(self.layers.parameters()).dtype)
        return self.layers(embeddings).squeeze(1)


def read_head(path: str | Path) -> nn.Module:
    """The head in a file, in evaluation mode, frozen; ValueError where it is none, with the path."""
    head, prefix = score_head(), "layers."
    own = {name.removeprefix(prefix): each for name, each in read_weights(path, KIND).items()}
    try:
        head.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f"{path}: expected {KIND}, got other weights ({error})") from error
    return head.eval().requires_grad_(False)
