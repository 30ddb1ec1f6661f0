"""Measure a regressor on what was held out, and write the weights and the card that `load_regressor` reads.

    svlearn export sequence-regressor --name mrl --checkpoint runs/regressors/mrl/last.ckpt

    svlearn export sequence-regressor --name hepg2-activity    # a regression on words, fitted here

Writes <output>/regressor_<name>.safetensors (weights and a record), the figures to <results>, under the name, and
<output>/regressors.md, the card of all regressors in <results>. Beside the network's own correlation with what was
measured stands that of the field's network on the same sequences, where there is a public one.
"""

import csv
import json
from pathlib import Path
from typing import Any

import torch
import yaml
from scipy.stats import pearsonr, spearmanr
from tensordict import TensorDict
from torch import Tensor

from svlearn.assets import fetch
from svlearn.domains.sequences.kmers import KmerRegression
from svlearn.domains.sequences.measurements import MEASUREMENTS, measured
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.domains.sequences.rewards.dragonn import MPRADragoNN
from svlearn.domains.sequences.rewards.optimus import Optimus5Prime
from svlearn.domains.sequences.shipped_regressors import Regressor, file_of, save_regressor
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, existing, user_path, write

WELL_MEASURED = 10 / (10 + 5.0)  # the weight of ten barcodes
CARD = "regressors.md"
TITLES = {
    "mrl": "mean ribosome load of 5'UTRs, 50 nt",
    "hepg2-activity": "activity in HepG2 cells, log2 RNA/DNA, 171 nt",
    "yeast-expression": "expression in yeast, bins, 110 nt",
    "plant-strength": "promoter strength in leaves, log2 enrichment, 170 nt",
}


def export(
    name: str,
    checkpoint: Path | None = None,
    output: Path = Path("checkpoints"),
    results: Path = Path("benchmarks/results/regressors.json"),
    data: str | None = None,
) -> str:
    """Measure and export; returns what to tell the user.

    Args:
        name: which measurement the network foretells, as in its configuration.
        checkpoint: a Lightning checkpoint of `svlearn pretrain`; without one a regression on words of five letters is
            fitted here, which foretells better where little was measured.
        output: the folder of the weights and the card.
        results: the JSON of the figures of all regressors.
        data: the file of what was measured (fetched by name where it is not given).
    """
    output, results = user_path(output), check_writable(results, "results")
    check_writable(output / CARD, "output")
    train, held_out = measured(name, data)
    network: Regressor
    if checkpoint is None:
        steps, network = 0, KmerRegression(train["tokens"].shape[1])
        network.fit(train["tokens"], train["values"], train["weights"])
    else:
        network, steps = trained(checkpoint)
    figures = {
        "steps": steps,
        "kind": "words" if isinstance(network, KmerRegression) else "network",
        "num_parameters": sum(tensor.numel() for tensor in network.state_dict().values()),
        "num_training": len(train),
        **agreement(network(held_out["tokens"]), held_out),
        "others": {title: agreement(foretold, held_out) for title, foretold in others(name, held_out).items()},
        "network": network.hyperparameters,
        "provenance": provenance(),
    }
    save_regressor(network, output / file_of(name), measurement=name, steps=steps, num_training=len(train))
    known = json.loads(results.read_text()) if results.exists() else {}
    known = {each: (figures if each == name else known[each]) for each in MEASUREMENTS if each in {*known, name}}
    write(results, json.dumps(known, indent=1) + "\n")
    write(output / CARD, card(known))
    return card(known)


@torch.no_grad()
def trained(checkpoint: str | Path) -> tuple[SequenceRegressor, int]:
    """The network of a Lightning checkpoint, in evaluation mode, and its optimiser steps; how it is built stands in the
    configuration beside it. Raises FileNotFoundError where one of the two is missing."""
    checkpoint = existing(checkpoint, "a checkpoint of svlearn pretrain")
    configurations = sorted(checkpoint.parent.rglob("config.yaml"), key=lambda file: file.stat().st_mtime)
    if not configurations:
        raise FileNotFoundError(f"{checkpoint.parent}: expected the config.yaml of the training beside it, got none")
    configuration = yaml.safe_load(configurations[-1].read_text())
    loaded = torch.load(checkpoint, weights_only=True, map_location="cpu")
    network = SequenceRegressor(**configuration["model"]["init_args"]["network"]["init_args"])
    weights = {key.removeprefix("network."): tensor for key, tensor in loaded["state_dict"].items()}
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False), int(loaded["global_step"])


def agreement(foretold: Tensor, held_out: TensorDict) -> dict[str, Any]:
    """How what is foretold (N,) and what was measured agree, of all that are held out and, where numbers of barcodes
    are known, of those with ten at least."""
    wanted = held_out["values"]
    found: dict[str, Any] = {
        "num_held_out": len(wanted),
        "spearman": round(float(spearmanr(foretold, wanted).statistic), 4),
        "pearson": round(float(pearsonr(foretold, wanted).statistic), 4),
    }
    well = held_out["weights"] >= WELL_MEASURED - 1e-6
    if not bool(well.all()):
        found["num_well_measured"] = int(well.sum())
        found["pearson_well_measured"] = round(float(pearsonr(foretold[well], wanted[well]).statistic), 4)
    return found


@torch.no_grad()
def others(name: str, held_out: TensorDict) -> dict[str, Tensor]:
    """What the field's own networks foretell of the same sequences, by title."""
    tokens = held_out["tokens"]
    if name == "mrl":
        return {"Optimus 5-Prime": Optimus5Prime()(tokens)}
    if name == "hepg2-activity":
        promoters = ("SV40p", "minP")
        return {f"MPRA-DragoNN, HepG2 {each}": MPRADragoNN("HepG2", each)(tokens) for each in promoters}
    if name == "plant-strength":
        return {"the authors' CNN": _of_authors(held_out["values"])}
    return {}


def _of_authors(values: Tensor) -> Tensor:
    """The authors' prediction for each measured value, which tells which promoter it is."""
    with open(fetch("dna/plant_promoters_leaf_cnn.tsv"), newline="", encoding="utf-8") as file:
        rows = [(float(row["enrichment"]), float(row["prediction"])) for row in csv.DictReader(file, delimiter="\t")]
    foretold = dict(zip(torch.tensor([value for value, _ in rows]).tolist(), (prediction for _, prediction in rows)))
    return torch.tensor([foretold[value] for value in values.tolist()])


def card(results: dict[str, Any]) -> str:
    """The card of all regressors, in Markdown."""
    lines = [
        "# Regressors of sequences",
        "",
        "Networks that foretell what was measured of a sequence, as rewards and as judges: "
        "`svlearn.domains.sequences.rewards.Regression(name)`. Each is the mean of a few small convolutional networks, "
        "or where little was measured a ridge regression on the counts of words of five letters; they read token ids "
        "or soft one-hots, float32.",
        "",
        "| name | foretells | trained on | held out | Spearman | Pearson | parameters | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, each in results.items():
        lines.append(
            f"| `{name}` | {TITLES[name]} | {each['num_training']:,} | {each['num_held_out']:,} | "
            f"{each['spearman']:.3f} | {each['pearson']:.3f} | {each['num_parameters']:,} | {each['steps']:,} |"
        )
    lines += ["", "On the same held-out sequences:", "", "| name | network | Spearman | Pearson |", "|---|---|---|---|"]
    for name, each in results.items():
        for title, figures in {"this one": each, **each["others"]}.items():
            lines.append(f"| `{name}` | {title} | {figures['spearman']:.3f} | {figures['pearson']:.3f} |")
    for name, each in results.items():
        if "num_well_measured" in each:
            told = {"this one": each, **each["others"]}
            parts = [f"{title} {figures['pearson_well_measured']:.3f}" for title, figures in told.items()]
            lines += [
                "",
                f"`{name}`: of the {each['num_well_measured']} with ten barcodes or more, Pearson: {', '.join(parts)}.",
            ]
    lines += [
        "",
        "| name | training | command of these figures | commit |",
        "|---|---|---|---|",
        *(
            f"| `{name}` | {_training(name, each)} | {each['provenance']['git_commit']} |"
            for name, each in results.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _training(name: str, figures: dict[str, Any]) -> str:
    """The cells of the training and of the export."""
    command = f"svlearn export sequence-regressor --name {name}"
    if figures["kind"] == "words":
        return f"in the export | `{command}`"
    return f"`svlearn pretrain --config regressors/{name}` | `{command} --checkpoint runs/regressors/{name}/last.ckpt`"
