"""Rewards of sequences: tokens (B, L), or soft one-hots where there is a gradient, to (B,)."""

from svlearn.domains.sequences.rewards.composition import GCContent, HasGCContent
from svlearn.domains.sequences.rewards.dragonn import MPRADragoNN
from svlearn.domains.sequences.rewards.motif import Motif
from svlearn.domains.sequences.rewards.optimus import Optimus5Prime
from svlearn.domains.sequences.rewards.regression import Regression
from svlearn.domains.sequences.rewards.sites import LacksSites, LacksUpstreamStarts
from svlearn.domains.sequences.rewards.stability import Stability

__all__ = [
    "GCContent",
    "HasGCContent",
    "LacksSites",
    "LacksUpstreamStarts",
    "MPRADragoNN",
    "Motif",
    "Optimus5Prime",
    "Regression",
    "Stability",
]
