"""The head that scores an embedding of 768 numbers, of the aesthetic predictor and of ImageReward."""

from torch import nn

WIDTH = 768


def score_head(width: int = WIDTH) -> nn.Sequential:
    """Linear layers (B, width) -> (B, 1) without activations between them; the dropouts are of their training.

    Source: christophschuhmann/improved-aesthetic-predictor; ImageReward (arXiv 2304.05977) has the same.
    """
    return nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    )
