"""Measure a trained denoiser of digits, and write the pipeline and the card that `svlearn.load` reads.

    svlearn export digits --name digits --checkpoint runs/digits/last.ckpt

Measures the loss on the held-out digits, draws as many images of each class, and lets two public classifiers judge
them beside held-out digits. Writes <output>/<name> (a pipeline in diffusers' own format), <output>/<name>.md (the card)
and the figures to <results>/<name>_reference.json.
"""

import json
import math
import time
from pathlib import Path
from typing import Any

import diffusers
import torch
import yaml
from torch import Tensor

from svlearn.domains.images.digits import pretrained
from svlearn.domains.images.digits.classifier import classifier
from svlearn.domains.images.digits.data import CLASSES, part
from svlearn.domains.images.digits.metrics import (
    accuracy,
    class_accuracies,
    diversity,
    features_of,
    frechet_distance,
)
from svlearn.domains.images.digits.pretraining import DenoiserTraining, DiffusionTraining, FlowTraining
from svlearn.domains.images.reference import DiffusersReference
from svlearn.evaluation.report.provenance import provenance
from svlearn.files import check_writable, user_path, write
from svlearn.inference.samplers import ancestral
from svlearn.randomness import seeded

TRAININGS: dict[str, type[DiffusionTraining] | type[FlowTraining]] = {
    "digits": DiffusionTraining,
    "digits-flow": FlowTraining,
}
REPEATS = 8  # draws of each held-out digit
CARD = """# The reference {name!r}

Class-conditional {kind} of MNIST digits, 28 x 28, at {num_steps} steps: a `UNet2DModel` of {num_parameters:,}
parameters in float32, in diffusers' own format in `{name}/` (MNIST: CC BY-SA 3.0). Class {null_class} stands for none.

```python
import svlearn as sv

reference = sv.load("{name}")
samples = sv.ancestral(reference).sample(10, condition=list(range(10)))
reference.images(samples.states[:, 0])  # (10, 1, 28, 28) in [0, 1]
```

| | |
|---|---|
| data | {num_training:,} of the 10,000 digits of MNIST's test set (`{file}`, SHA-256 in `svlearn.assets`) |
| held out | 500 to look at in training, 500 for the figures below; of one split, by SHA-256 |
| training | `svlearn pretrain --config {name}`, {steps:,} steps of {batch_size}; the weights' average is kept |
| wall time | {training_seconds:,.0f} s, {training_rate:.0f} images a second: one thread, {cores} shared cores ({cpu}) |
| loss, held out | {loss:.4f} ± {loss_error:.4f} (mean square of the {target}) |
| command of these figures | `{command}` |
| commit | {git_commit} |

{num_samples:,} samples, as many of each class (seed {seed}), beside the {num_real} held-out digits. The classifiers
are public, trained by others on MNIST's training set: `images/mnist_cnn_a.pt`, to reward with, and
`images/mnist_cnn_b.pt`, the judge, in whose features distance and diversity are measured.

| | samples | held-out digits |
|---|---|---|
| of their class, by a | {accuracy_a:.3f} | {real_accuracy_a:.3f} |
| of their class, by b | {accuracy_b:.3f} | {real_accuracy_b:.3f} |
| Fréchet distance to the held-out digits | {distance:.1f} | {real_distance:.1f} ({num_others} others) |
| mean distance of two | {diversity:.2f} | {real_diversity:.2f} |

| class | {classes} |
|---|{columns}
| by a | {by_class_a} |
| by b | {by_class_b} |

Sampling: {rate:.1f} images ({calls:,.0f} network calls) a second of the processor's time. The figures are in
`{results}`.
"""


def export(
    name: str,
    checkpoint: Path,
    output: Path = Path("checkpoints"),
    results: Path = Path("benchmarks/results"),
    num_samples: int = 500,
    seed: int = 0,
    images: str | None = None,
    labels: str | None = None,
) -> str:
    """Measure and export; returns what to tell the user.

    Args:
        name: digits or digits-flow.
        checkpoint: a Lightning checkpoint of `svlearn pretrain`, beside or above its config.yaml.
        output: the folder of the pipeline and the card.
        results: the folder of the figures.
        num_samples: how many images to draw, rounded down to as many of each class.
        seed: of the draws.
        images: the file of digits (fetched by name where it is not given).
        labels: the file of their classes, likewise.
    """
    if name not in TRAININGS:
        raise ValueError(f"name: expected one of {', '.join(TRAININGS)}, got {name!r}")
    if num_samples < 2 * CLASSES:
        raise ValueError(f"num_samples: expected at least two of each of {CLASSES} classes, got {num_samples}")
    checkpoint, folder = user_path(checkpoint), user_path(output) / name
    card_file = check_writable(folder.with_suffix(".md"), "output")
    file = check_writable(user_path(results) / f"{name.replace('-', '_')}_reference.json", "results")
    loaded = torch.load(checkpoint, weights_only=True)
    configured = _config(checkpoint)
    training = _training(name, configured["model"], loaded["state_dict"])
    held_out = part("test", images, labels)
    pretrained.save(training.network, training.scheduler, folder)
    reference = pretrained.load(name, folder)
    batch_size = configured["data"]["init_args"]["batch_size"]
    seconds = checkpoint.stat().st_mtime - configured["started"]
    figures: dict[str, Any] = {
        "steps": loaded["global_step"],
        "batch_size": batch_size,
        "training_seconds": seconds,
        "training_rate": loaded["global_step"] * batch_size / seconds,
        "num_training": len(part("train", images, labels)[0]),
        "num_parameters": sum(each.numel() for each in training.network.parameters()),
        "num_steps": reference.num_steps,
        **_losses(training, *held_out),
        **_measured(reference, held_out, part("validation", images, labels)[0], num_samples // CLASSES, seed),
        "provenance": provenance(),
    }
    write(file, json.dumps(figures, indent=1) + "\n")
    card = card_of(name, figures)
    write(card_file, card)
    return f"{card}\npipeline: {folder}"


def card_of(name: str, figures: dict[str, Any]) -> str:
    """The card of measured figures."""
    origin = figures["provenance"]
    by_class = {judge: [figures[f"by_class_{judge}"][str(each)] for each in range(CLASSES)] for judge in "ab"}
    return CARD.format(
        **{key: entry for key, entry in figures.items() if not key.startswith("by_class")},
        **{key: origin[key] for key in ("cpu", "cores", "git_commit")},
        name=name,
        kind="flow matching" if name == "digits-flow" else "diffusion",
        target="velocity" if name == "digits-flow" else "noise",
        null_class=pretrained.NULL_CLASS,
        file="images/mnist_t10k-images-idx3-ubyte.gz",
        classes=" | ".join(map(str, range(CLASSES))),
        columns="---|" * CLASSES,
        by_class_a=" | ".join(f"{each:.2f}" for each in by_class["a"]),
        by_class_b=" | ".join(f"{each:.2f}" for each in by_class["b"]),
        command=f"svlearn export digits --name {name} --checkpoint runs/{name}/last.ckpt",
        results=f"benchmarks/results/{name.replace('-', '_')}_reference.json",
    )


@torch.no_grad()
def _losses(training: DenoiserTraining, images: Tensor, classes: Tensor) -> dict[str, float]:
    """The training's own loss on held-out digits, each at times of its own, with the standard error over draws."""
    losses = torch.stack([training._loss(images, classes, seeded("cpu", draw)) for draw in range(REPEATS)])
    return {"loss": float(losses.mean()), "loss_error": float(losses.std() / math.sqrt(REPEATS))}


def _measured(
    reference: DiffusersReference, held_out: tuple[Tensor, Tensor], others: Tensor, each: int, seed: int
) -> dict[str, Any]:
    classes = torch.arange(CLASSES).repeat(each)
    started = time.process_time()
    samples = ancestral(reference).sample(
        len(classes), condition=classes, generator=seeded("cpu", seed), max_batch=100, progress=True
    )
    seconds = time.process_time() - started
    drawn = reference.images(samples.states[:, 0])
    real, real_others = (each / 2 + 0.5 for each in (held_out[0], others))
    judges = {name: classifier(name) for name in "ab"}
    features, real_features, other_features = (features_of(judges["b"], each) for each in (drawn, real, real_others))
    few = min(len(features), len(real_features))
    figures: dict[str, Any] = {
        "num_samples": len(classes),
        "num_real": len(real),
        "num_others": few,
        "seed": seed,
        "distance": frechet_distance(features, real_features),
        "real_distance": frechet_distance(other_features[:few], real_features),
        "diversity": diversity(features),
        "real_diversity": diversity(real_features),
        "rate": len(classes) / seconds,
        "calls": samples.cost.reference_calls / seconds,
    }
    for name, judge in judges.items():
        figures[f"accuracy_{name}"] = accuracy(judge, drawn, classes)
        figures[f"real_accuracy_{name}"] = accuracy(judge, real, held_out[1])
        figures[f"by_class_{name}"] = {str(key): each for key, each in class_accuracies(judge, drawn, classes).items()}
    return figures


def _config(checkpoint: Path) -> dict[str, Any]:
    """What the training was told, and when it began, from the config.yaml below its folder."""
    files = sorted(checkpoint.parent.rglob("config.yaml"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f"{checkpoint.parent}: expected the config.yaml of the training, got none")
    return {**yaml.safe_load(files[-1].read_text()), "started": files[0].stat().st_mtime}


def _training(name: str, configured: dict[str, Any], state: dict[str, Tensor]) -> Any:
    """The training with its network filled, in evaluation mode."""
    arguments = configured["init_args"]
    network: Any = diffusers.UNet2DModel(**arguments["network"]["init_args"])
    kind = getattr(diffusers, arguments["scheduler"]["class_path"].rsplit(".", 1)[-1])
    training = TRAININGS[name](network, kind(**arguments["scheduler"]["init_args"]))
    training.load_state_dict(state)
    return training.eval()
