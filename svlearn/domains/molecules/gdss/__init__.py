"""GDSS, score-based diffusion of molecular graphs by a system of two SDEs (arXiv 2202.02514)."""

from svlearn.domains.molecules.gdss.checkpoint import GDSSCheckpoint, read
from svlearn.domains.molecules.gdss.control import GraphControl, GraphControlled, RewardGain, ScoreGain, SumControl
from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.gdss.networks import ScoreNetworks
from svlearn.domains.molecules.gdss.reference import GDSS

__all__ = [
    "GDSS",
    "GDSSCheckpoint",
    "GDSSCodec",
    "GraphControl",
    "GraphControlled",
    "Langevin",
    "RewardGain",
    "ScoreGain",
    "ScoreNetworks",
    "SumControl",
    "read",
]
