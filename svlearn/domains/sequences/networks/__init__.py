"""Networks over sequences: denoisers of masked places."""

from svlearn.domains.sequences.networks.cnn import DilatedCNN
from svlearn.domains.sequences.networks.transformer import RotaryTransformer

__all__ = ["DilatedCNN", "RotaryTransformer"]
