"""Measure a trained QM9 network, and write the weights and the card that `svlearn.load("qm9")` reads.

    svlearn export qm9 --checkpoint runs/qm9/last.ckpt

Draws `num_samples` molecules and counts how many are valid as they come, valid and connected, distinct, and new to
the training data. Writes <output>/qm9.safetensors (weights and a record), <output>/qm9.md (the card) and the figures
to <results>.
"""

import json
from pathlib import Path
from typing import cast

import torch
from tensordict import TensorDict

from svlearn.checkpoints import read_record
from svlearn.domains.molecules import metrics, qm9
from svlearn.domains.molecules.codec import decode
from svlearn.domains.molecules.qm9_data import QM9Data, canonical_smiles
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, user_path, write
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded

CARD = """# The QM9 reference

A masked graph diffusion over molecules of at most nine heavy atoms (C, N, O, F; no charges; kekulised bonds): the atoms
are decided first, then the bonds, one place a step, {num_steps} steps. {num_parameters:,} parameters, float32.

| | |
|---|---|
| data | QM9, {num_training:,} molecules to train on (`{data}`, SHA-256 in `svlearn.assets`), 2,000 held out |
| training | `svlearn pretrain --config qm9` |
| steps, batch | {steps:,} steps of 256 molecules; the exponential average of the weights is kept |
| wall time | {training_seconds:,.0f} s on {training_threads} of {cores} cores that it shared with other work ({cpu}) |
| command of these figures | `{command}` |

Of {num_samples:,} samples (seed {seed}), without valency correction:

| valid | valid and connected | distinct among those | not in QM9 | with correction: valid |
|---|---|---|---|---|
| {validity:.1%} | {connected:.1%} | {uniqueness:.1%} | {novelty:.1%} | {corrected_validity:.1%} |

Valid: RDKit sanitises the graph as it comes. Standard errors are at most {error:.1%}. For comparison, on QM9 as each
paper prepares it: GDSS 95.7 % (arXiv 2202.02514), DiGress 99.0 % (arXiv 2209.14734). Sampling: {rate:.0f} molecules
({calls:,.0f} network calls) a second on {threads} threads. The figures are in `{results}`.
"""


def export(
    checkpoint: Path,
    output: Path = Path("checkpoints"),
    results: Path = Path("benchmarks/results/qm9_reference.json"),
    num_samples: int = 2000,
    seed: int = 0,
    data: str | None = None,
    training_threads: int = 1,
) -> str:
    """Measure and export; returns what to tell the user.

    Args:
        checkpoint: a Lightning checkpoint of `svlearn pretrain`.
        output: the folder of the weights and the card.
        results: the JSON of the figures.
        num_samples: how many molecules to draw.
        seed: of the draws.
        data: the CSV of QM9 (fetched by name where it is not given).
        training_threads: how many threads trained the network, for the card.
    """
    checkpoint, output = user_path(checkpoint), user_path(output)
    check_writable(output / qm9.FILE, "output")
    results = check_writable(results, "results")
    loaded = torch.load(checkpoint, weights_only=True)
    weights = {name.removeprefix("network."): tensor for name, tensor in loaded["state_dict"].items()}
    network = GraphTransformer.from_weights(weights)

    molecules = QM9Data(path=data)
    molecules.prepare_data()
    molecules.setup()
    started = min(file.stat().st_mtime for file in checkpoint.parent.rglob("config.yaml"))
    record = {
        "steps": loaded["global_step"],
        "training_seconds": checkpoint.stat().st_mtime - started,
        "num_training": len(molecules.train),
        "data": "molecules/qm9_smiles.csv",
    }
    path = output / qm9.FILE
    reference = qm9.save(network, molecules.train["mask"].sum(dim=1), path, **record)

    samples = ancestral(reference).sample(num_samples, generator=seeded("cpu", seed), max_batch=256, progress=True)
    states = cast(TensorDict, samples.states)[:, 0]
    drawn = decode(states)
    connected = [each for each in drawn if metrics.connected_validity([each]) == 1]
    rate = num_samples / samples.cost.seconds
    figures = {
        **record,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "num_steps": reference.num_steps,
        "num_samples": num_samples,
        "seed": seed,
        "validity": metrics.validity(drawn),
        "connected": metrics.connected_validity(drawn),
        "uniqueness": metrics.uniqueness(connected),
        "novelty": metrics.novelty(connected, canonical_smiles(data)),
        "corrected_validity": metrics.validity(decode(states, correct=True)),
        "internal_diversity": metrics.internal_diversity(drawn[:500]),
        "rate": rate,
        "calls": rate * reference.num_steps,
        "training_threads": training_threads,
        "provenance": provenance(),
    }
    write(results, json.dumps(figures, indent=1) + "\n")
    origin = figures["provenance"]
    card = CARD.format(
        **{**figures, **{name: origin[name] for name in ("cpu", "cores", "threads")}},
        command="svlearn export qm9 --checkpoint runs/qm9/last.ckpt",
        error=(0.25 / num_samples) ** 0.5,
        results=results,
    )
    write(output / "qm9.md", card)
    return f"{card}\nweights: {path}, record {read_record(path)}"
