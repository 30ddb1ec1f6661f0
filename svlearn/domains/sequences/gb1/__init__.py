"""Protein GB1 at its four sites: a landscape that was measured nearly whole, and references over it."""

from svlearn.domains.sequences.gb1.protein import LENGTH, SEQUENCE, SITES, WILD_TYPE, whole_sequences
from svlearn.domains.sequences.gb1.reference import library, load, save
from svlearn.domains.sequences.gb1.rewards import Fitness, LogFitness
from svlearn.domains.sequences.gb1.table import Measurements, read_measurements

__all__ = [
    "LENGTH",
    "SEQUENCE",
    "SITES",
    "WILD_TYPE",
    "Fitness",
    "LogFitness",
    "Measurements",
    "library",
    "load",
    "read_measurements",
    "save",
    "whole_sequences",
]
