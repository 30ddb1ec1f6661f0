"""The shipped references of sequences: saving them, loading them."""

from pathlib import Path
from typing import Any

from torch import nn

from svlearn import checkpoints
from svlearn.domains.sequences.alphabet import DNA, PROTEIN, RNA, Alphabet
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.networks import DilatedCNN, RotaryTransformer
from svlearn.loading import shipped

ALPHABETS = {alphabet.letters: alphabet for alphabet in (DNA, RNA, PROTEIN)}
NETWORKS: dict[str, type[nn.Module]] = {kind.__name__: kind for kind in (DilatedCNN, RotaryTransformer)}
PROCESS = ("alphabet", "length", "num_steps", "schedule", "fixed")


def utr5(path: Path | None = None) -> MaskedDiffusion:
    """Random 5'UTRs of 50 nt (Sample et al. 2019), from one place a step on; `with_steps` for others."""
    return load("utr5", path)


def yeast_promoters(path: Path | None = None) -> MaskedDiffusion:
    """Random yeast promoters of 110 nt, 80 of them between the fixed flanks of the library's vector."""
    return load("yeast-promoters", path)


def hepg2(path: Path | None = None) -> MaskedDiffusion:
    """Enhancers of 171 nt that were measured in HepG2 cells (Klein et al. 2020), on both strands."""
    return load("hepg2", path)


def load(family: str, path: Path | None = None) -> MaskedDiffusion:
    """The masked diffusion of a checkpoint (of the shipped one for None), in evaluation mode.

    Raises ValueError for one of another family, and where the record does not say how to build it.
    """
    path = shipped(f"{family}.safetensors") if path is None else path
    record = checkpoints.read_record(path)
    if record.get("family") != family:
        raise ValueError(f"{path}: expected a reference of family {family!r}, got {record.get('family')!r}")
    kind, process = checkpoints.entry(record, "kind", str, path), checkpoints.entry(record, "process", dict, path)
    if kind not in NETWORKS:
        raise ValueError(f"{path}: expected a network of {', '.join(NETWORKS)}, got {kind!r}")
    network = checkpoints.build(NETWORKS[kind], record, path)
    try:
        if set(process) != set(PROCESS):
            raise ValueError(f"expected {', '.join(PROCESS)}, got {', '.join(map(str, process))}")
        letters = process["alphabet"]
        given = {name: process[name] for name in PROCESS[1:]}
        reference = MaskedDiffusion(network, ALPHABETS.get(letters, Alphabet(letters)), **given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: the record's process does not fit: {error}") from error
    checkpoints.load_into(reference, path)
    return reference.eval().requires_grad_(False)


def save(reference: MaskedDiffusion, path: Path, family: str, **record: Any) -> Path:
    """Write a reference of one of `NETWORKS`, with what it takes to build it.

    Raises TypeError for another network, and for a process that is more than a `MaskedDiffusion`, as one that remasks.
    """
    network = reference.network
    if type(reference) is not MaskedDiffusion or type(network) not in NETWORKS.values():
        came = f"a {type(reference).__name__} of a {type(network).__name__}"
        raise TypeError(f"reference: expected a MaskedDiffusion of {' or '.join(NETWORKS)}, got {came}")
    (fixed,) = reference.alphabet.decode(reference.fixed[None])
    process = {
        "alphabet": reference.alphabet.letters,
        "length": reference.length,
        "num_steps": reference.num_steps,
        "schedule": reference.schedule,
        "fixed": fixed,
    }
    kind, arguments = type(network).__name__, network.hyperparameters
    return checkpoints.save(reference, path, family=family, kind=kind, network=arguments, process=process, **record)
