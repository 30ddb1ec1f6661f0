"""The shipped QM9 reference: building it, saving it, loading it."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svlearn import checkpoints
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.loading import shipped
from svlearn.values import Value, load_value

FAMILY = "qm9"
FILE = "qm9.safetensors"


def load(path: Path | None = None) -> MaskedGraphDiffusion:
    """The masked graph diffusion of a checkpoint (of the shipped one for None), in evaluation mode."""
    path = shipped(FILE) if path is None else path
    record = checkpoints.read_record(path)
    if record.get("family") != FAMILY:
        raise ValueError(f"{path}: expected a reference of family {FAMILY!r}, got {record.get('family')!r}")
    network = checkpoints.build(GraphTransformer, record, path)
    reference = MaskedGraphDiffusion(network, torch.ones(network.hyperparameters["num_atoms"]))
    checkpoints.load_into(reference, path)
    return reference.eval().requires_grad_(False)


def save(network: GraphTransformer, sizes: Tensor, path: Path, **record: Any) -> MaskedGraphDiffusion:
    """Write the reference of a trained network; sizes (N,) are the numbers of atoms of the training molecules."""
    counts = torch.bincount(sizes, minlength=network.hyperparameters["num_atoms"] + 1)[1:].float()
    reference = MaskedGraphDiffusion(network, counts / counts.sum()).eval()
    checkpoints.save(reference, path, family=FAMILY, network=network.hyperparameters, **record)
    return reference


def qed_monte_carlo(reference: MaskedGraphDiffusion) -> Value:
    """The shipped value of QED, by Monte Carlo regression: the mean QED, in [0, 1], of what a half-drawn molecule
    becomes. ValueError for another reference than the shipped one."""
    return load_value(shipped("qm9_qed_monte_carlo.safetensors"), reference)
