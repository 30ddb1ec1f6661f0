"""Trajectories: rolled out, collected to disk, stored, served."""

from svlearn.rollouts.collect import collect, collect_by_noising
from svlearn.rollouts.data import RolloutData, held_out
from svlearn.rollouts.in_memory import InMemoryData
from svlearn.rollouts.labels import label_candidates, label_survivors
from svlearn.rollouts.roll_on import roll_on
from svlearn.rollouts.roll_out import roll_back, roll_out
from svlearn.rollouts.store import Rollouts

__all__ = [
    "InMemoryData",
    "RolloutData",
    "Rollouts",
    "collect",
    "collect_by_noising",
    "held_out",
    "label_candidates",
    "label_survivors",
    "roll_back",
    "roll_on",
    "roll_out",
]
