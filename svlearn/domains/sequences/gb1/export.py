"""Measure a trained GB1 network, and write the weights and the card that `svlearn.load("gb1")` reads.

    svlearn export gb1 --checkpoint runs/gb1/last.ckpt

Held-out bits a letter are those of its likelihood bound over all orders, exactly, by all masked states of each held-out
variant. Writes <output>/gb1.safetensors (weights and a record), <output>/gb1.md (the card) and the figures to
<results>.
"""

import itertools
import json
import math
from pathlib import Path

import torch
from torch import Tensor

from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1 import reference as gb1
from svlearn.domains.sequences.gb1.data import GB1Data
from svlearn.domains.sequences.gb1.network import SiteNetwork
from svlearn.domains.sequences.gb1.protein import LENGTH
from svlearn.domains.sequences.gb1.rewards import Fitness
from svlearn.domains.sequences.gb1.table import read_measurements
from svlearn.domains.sequences.landscape import Landscape
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, user_path, write

CARD = """# The GB1 reference

A masked diffusion over the four sites V39, D40, G41 and V54 of protein GB1: one place a step, in any order, 4 steps.
A perceptron, {num_parameters:,} parameters, float32.

| | |
|---|---|
| data | `proteins/gb1_four_site.csv` (Wu et al. 2016, eLife 5, e16965, CC BY 4.0; SHA-256 in `svlearn.assets`) |
| variants | {num_training:,} of those of fitness {functional} and above; {num_held_out:,} held out |
| training | `svlearn pretrain --config gb1` |
| steps, batch | {steps:,} steps of {batch_size}; the exponential average of the weights is kept |
| command of these figures | `svlearn export gb1 --checkpoint runs/gb1/last.ckpt` |

| bits a letter, held out | |
|---|--:|
| this network, mean over all orders | {bits:.3f} |
| each site alone, by the letters of the variants trained on | {independent_bits:.3f} |
| uniform | {uniform_bits:.3f} |

| | p_ref | the library before selection |
|---|--:|--:|
| share of fitness {functional} and above | {functional_share:.1%} | {library_share:.1%} |
| mean fitness | {mean_fitness:.3f} | {library_fitness:.3f} |

The shares and means are exact, by enumeration of all 160,000 variants. The figures are in `{results}`.
"""


def held_out_bits(network: SiteNetwork, variants: Tensor) -> float:
    """The mean over variants (N, 4) and all orders of -log2 p(x | order)/4, at least that of -log2 p_ref(x)/4."""
    total = torch.zeros((), dtype=torch.float64)
    for number in range(1, LENGTH + 1):
        subsets = list(itertools.combinations(range(LENGTH), number))
        for masked in subsets:
            x = variants.clone()
            x[:, masked] = PROTEIN.mask
            law = network(x, torch.zeros(len(x))).double().log_softmax(dim=2)
            terms = law.gather(2, variants[..., None])[:, masked, 0].mean(dim=1)
            total = total - terms.mean() / len(subsets)
    return float(total) / LENGTH / math.log(2)


def independent_bits(train: Tensor, variants: Tensor) -> float:
    """Bits a letter of variants by the letters of others, site by site, with one added to each count."""
    counts = 1 + torch.stack([torch.bincount(column, minlength=PROTEIN.size) for column in train.T]).double()
    law = (counts / counts.sum(dim=1, keepdim=True)).log()
    return -float(law.gather(1, variants.T).mean()) / math.log(2)


@torch.no_grad()
def export(
    checkpoint: Path,
    output: Path = Path("checkpoints"),
    results: Path = Path("benchmarks/results/gb1_reference.json"),
    data: str | None = None,
) -> str:
    """Measure and export; returns the card.

    Args:
        checkpoint: a Lightning checkpoint of `svlearn pretrain`.
        output: the folder of the weights and the card.
        results: the JSON of the figures.
        data: the CSV of the measured variants (fetched by name where it is not given).
    """
    checkpoint, output = user_path(checkpoint), user_path(output)
    check_writable(output / gb1.FILE, "output")
    results = check_writable(results, "results")
    loaded = torch.load(checkpoint, weights_only=True)
    weights = {name.removeprefix("network."): tensor for name, tensor in loaded["state_dict"].items()}
    network = SiteNetwork.from_weights(weights)
    variants = GB1Data(data)
    variants.setup()
    record = {
        "steps": loaded["global_step"],
        "batch_size": variants.batch_size,
        "functional": variants.functional,
        "num_training": len(variants.train),
        "num_held_out": len(variants.validation),
    }
    reference = gb1.save(network, output / gb1.FILE, **record)
    fitness = Fitness(data)
    laws = {"": Landscape(reference, fitness), "library_": Landscape(gb1.library(read_measurements(data)), fitness)}
    shares = {}
    for name, landscape in laws.items():
        law, found = landscape.law().exp(), landscape.rewards
        shares[f"{name or 'functional_'}share"] = float(law[found >= variants.functional].sum())
        shares[f"{name or 'mean_'}fitness"] = float(law @ found)
    figures = {
        **record,
        **shares,
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "bits": held_out_bits(network, variants.validation),
        "independent_bits": independent_bits(variants.train, variants.validation),
        "uniform_bits": math.log2(PROTEIN.size),
        "provenance": provenance(),
    }
    write(results, json.dumps(figures, indent=1) + "\n")
    card = CARD.format(**figures, results=results)
    write(output / "gb1.md", card)
    return card
