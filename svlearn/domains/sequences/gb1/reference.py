"""References over the four sites of GB1: the shipped masked diffusion, and the independent sites of the library."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from svlearn import checkpoints
from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1.network import IndependentSites, SiteNetwork
from svlearn.domains.sequences.gb1.protein import LENGTH
from svlearn.domains.sequences.gb1.table import Measurements, read_measurements
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.loading import shipped

FAMILY = "gb1"
FILE = "gb1.safetensors"


def load(path: Path | None = None) -> MaskedDiffusion:
    """The masked diffusion of a checkpoint (of the shipped one for None), in evaluation mode: T = 4, any order."""
    path = shipped(FILE) if path is None else path
    record = checkpoints.read_record(path)
    if record.get("family") != FAMILY:
        raise ValueError(f"{path}: expected a reference of family {FAMILY!r}, got {record.get('family')!r}")
    reference = _diffusion(checkpoints.build(SiteNetwork, record, path))
    checkpoints.load_into(reference, path)
    return reference.eval().requires_grad_(False)


def save(network: SiteNetwork, path: Path, **record: Any) -> MaskedDiffusion:
    """Write the reference of a trained network."""
    reference = _diffusion(network).eval()
    checkpoints.save(reference, path, family=FAMILY, network=network.hyperparameters, **record)
    return reference


def library(measurements: Measurements | None = None) -> MaskedDiffusion:
    """The library before the selection, each site alone: p_ref(x) = Π_i p_i(x_i), of the counts of all variants.

    measurements: those whose input counts are summed; None: the public file's. T = 4, any order.
    """
    measurements = read_measurements() if measurements is None else measurements
    counts = torch.zeros(LENGTH, PROTEIN.size, dtype=torch.float64)
    every = measurements.input_counts.double().expand(LENGTH, -1)
    counts = counts.scatter_add(1, measurements.tokens.T, every)
    probs = counts / counts.sum(dim=1, keepdim=True)
    return _diffusion(IndependentSites(probs)).eval()


def _diffusion(network: nn.Module) -> MaskedDiffusion:
    return MaskedDiffusion(network, PROTEIN, LENGTH, schedule="one_place")
