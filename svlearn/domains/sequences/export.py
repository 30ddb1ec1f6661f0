"""Measure a trained denoiser of sequences, and write the weights and the card that `svlearn.load` reads.

    svlearn export sequences --name utr5 --checkpoint runs/utr5/last.ckpt

Bounds the bits a letter of the held-out sequences, beside those of a Markov model of third order, draws `num_samples`
sequences and compares their words of three letters with the data's. Writes <output>/<name>.safetensors (weights and a
record), <output>/<name>.md (the card) and the figures to <results>/sequences_<name>.json.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor, nn

from svlearn import checkpoints
from svlearn.domains.sequences import pretrained
from svlearn.domains.sequences.data import source_of, tokens
from svlearn.domains.sequences.markov_model import MarkovModel
from svlearn.domains.sequences.masked_diffusion import MaskedDiffusion
from svlearn.domains.sequences.metrics import bits_per_letter, word_correlation
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, user_path, write
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded

ORDER = 3
CARD = """# The reference {name!r}

Masked diffusion of {data}:
{drawn} letters are drawn, one place a step, in {num_steps} steps. The denoiser, a {kind} of {num_parameters:,}
parameters in float32, does not read the time, so that a step that unmasks nothing costs no call;
`with_steps(128, "log_linear")` is the same network with MDLM's schedule.

| | |
|---|---|
| data | {num_training:,} sequences to train on (`{file}`, SHA-256 in `svlearn.assets`), {num_held_out:,} held out |
| training | `svlearn pretrain --config {name}`, {steps:,} steps; the exponential average of the weights is kept |
| wall time | {training_seconds:,.0f} s on {training_threads} of {cores} cores that it shared with other work ({cpu}) |
| command of these figures | `{command}` |

| bits a letter, held out | |
|---|---|
| this reference, at most | {bits:.4f} ± {bits_error:.4f} |
| Markov model of third order | {markov_bits:.4f} |
| uniform | {uniform_bits:.4f} |

Words of three letters of {num_samples:,} samples (seed {seed}) correlate with those of the training data at Pearson
{correlation:.3f}; the held-out sequences with the same at {held_out_correlation:.3f}.

{note}

Sampling: {rate:.1f} sequences ({calls:,.0f} network calls) a second on {threads} threads. The figures are in
`{results}`.
"""
DATA = {
    "utr5": "random 5'UTRs of 50 nt",
    "yeast-promoters": "random yeast promoters of 110 nt between the fixed flanks of their vector",
    "hepg2": "enhancers of 171 nt measured in HepG2 cells, on both strands",
}
NOTES = {
    "utr5": "The library was made of random letters: a little of their composition, and of their neighbours, is all "
    "that can\nbe learned of it.",
    "yeast-promoters": "The library was made of random letters, of which little more than the composition can be "
    "learned.\nThe flanks are given in every state, are never masked, and count in no figure here.",
    "hepg2": "With so few sequences a network soon learns them by heart, so it is small and trained briefly. No "
    "training sequence\nshares 20 letters with one that is held out, on either strand. Training on the human promoters "
    "of EPDnew too does not\nhelp: a Markov model of third order then has more held-out bits, not fewer (1.947 against "
    "1.937, every tenth held out).",
}


def export(
    name: str,
    checkpoint: Path,
    output: Path = Path("checkpoints"),
    results: Path = Path("benchmarks/results"),
    num_samples: int = 500,
    seed: int = 0,
    data: str | None = None,
    training_threads: int = 1,
) -> str:
    """Measure and export; returns what to tell the user.

    Args:
        name: utr5, yeast-promoters or hepg2.
        checkpoint: a Lightning checkpoint of `svlearn pretrain`, beside or above its config.yaml.
        output: the folder of the weights and the card.
        results: the folder of the figures.
        num_samples: how many sequences to draw.
        seed: of the draws.
        data: the file of sequences (fetched by name where it is not given).
        training_threads: how many threads trained the network, for the card.
    """
    source = source_of(name)
    checkpoint, path = user_path(checkpoint), user_path(output) / f"{name}.safetensors"
    check_writable(path, "output")
    file = check_writable(user_path(results) / f"sequences_{name.replace('-', '_')}.json", "results")
    loaded = torch.load(checkpoint, weights_only=True)
    configured = _config(checkpoint)
    network = _network(loaded["state_dict"], configured)
    reference = MaskedDiffusion(network, source.alphabet, source.length, None, "one_place", fixed=source.fixed).eval()
    train, held_out = tokens(name, data)
    record = {
        "steps": loaded["global_step"],
        "training_seconds": checkpoint.stat().st_mtime - configured["started"],
        "num_training": len(train),
        "num_held_out": len(held_out),
        "file": source.file,
    }
    pretrained.save(reference, path, name, **record)
    figures = {**record, **_measured(reference, train, held_out, num_samples, seed)}
    figures |= {"training_threads": training_threads, "provenance": provenance()}
    write(file, json.dumps(figures, indent=1) + "\n")
    origin = figures["provenance"]
    card = CARD.format(
        **{**figures, **{part: origin[part] for part in ("cpu", "cores", "threads")}},
        name=name,
        data=DATA[name],
        note=NOTES[name],
        kind=type(network).__name__,
        command=f"svlearn export sequences --name {name} --checkpoint runs/{name}/last.ckpt",
        results=f"benchmarks/results/{file.name}",
    )
    write(path.with_suffix(".md"), card)
    return f"{card}\nweights: {path}, record {checkpoints.read_record(path)}"


def _measured(reference: MaskedDiffusion, train: Tensor, held_out: Tensor, num_samples: int, seed: int) -> dict:
    size, mask = reference.alphabet.size, reference.alphabet.mask
    places = (reference.fixed == mask).nonzero().flatten().tolist()
    bits, error = bits_per_letter(reference, held_out, seed=seed)
    samples = ancestral(reference).sample(num_samples, generator=seeded("cpu", seed), max_batch=256, progress=True)
    drawn = cast(Tensor, samples.states)[:, 0]
    parts = [each[:, places[0] : places[-1] + 1] for each in (drawn, train, held_out)]
    return {
        "num_parameters": sum(parameter.numel() for parameter in reference.network.parameters()),
        "num_steps": reference.num_steps,
        "drawn": len(places),
        "bits": bits,
        "bits_error": error,
        "markov_bits": MarkovModel(train, size, ORDER, places).bits(held_out),
        "uniform_bits": float(torch.tensor(size).log2()),
        "num_samples": num_samples,
        "seed": seed,
        "correlation": word_correlation(parts[0], parts[1], size),
        "held_out_correlation": word_correlation(parts[2], parts[1], size),
        "rate": num_samples / samples.cost.seconds,
        "calls": samples.cost.reference_calls / samples.cost.seconds,
    }


def _config(checkpoint: Path) -> dict[str, Any]:
    """What the training was told of its network, and when it began, from the config.yaml below its folder."""
    files = sorted(checkpoint.parent.rglob("config.yaml"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f"{checkpoint.parent}: expected the config.yaml of the training, got none")
    told = yaml.safe_load(files[-1].read_text())["model"]["init_args"]["network"]
    return {**told, "started": files[0].stat().st_mtime}


def _network(state: dict[str, Tensor], configured: dict[str, Any]) -> nn.Module:
    kind = pretrained.NETWORKS[configured["class_path"].rsplit(".", 1)[-1]]
    network = kind(**configured["init_args"])
    network.load_state_dict({name.removeprefix("network."): each for name, each in state.items()})
    return network
