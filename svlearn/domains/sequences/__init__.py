"""Sequences of DNA, RNA and proteins: masked diffusion, networks, rewards and a landscape whose p* is exact."""

from svlearn.domains.sequences.alphabet import DNA, PROTEIN, RNA, Alphabet
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.remasking import RemaskingDiffusion

__all__ = ["DNA", "PROTEIN", "RNA", "Alphabet", "MaskedDiffusion", "RemaskingDiffusion"]
