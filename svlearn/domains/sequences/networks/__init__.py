"""Networks over sequences: denoisers of masked places, and values."""

from svlearn.domains.sequences.networks.cnn import DilatedCNN
from svlearn.domains.sequences.networks.conv_gru import ConvGRU
from svlearn.domains.sequences.networks.transformer import RotaryTransformer
from svlearn.domains.sequences.networks.value import FeaturesValue, SequenceValue

__all__ = ["ConvGRU", "DilatedCNN", "FeaturesValue", "RotaryTransformer", "SequenceValue"]
