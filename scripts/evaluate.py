"""Is the learned value worth it? Compare it with the training-free SVDD-PM, best-of-N and SMC, with what each costs.

    python scripts/evaluate.py --config configs/molecules/qm9/evaluate.yaml

Samplers, at M = N = K = `num_candidates`: pretrained (plain samples), best-of-N, SVDD-PM (the value is the reward of
the predicted molecule) and SVDD-MC (the value is the trained network), both at alpha = 0 as in the SVDD paper, and
SMC-PM at `smc_alpha`. The table goes to the terminal; <output>/report.html is the page, comparison.json and
comparison.csv the figures, samples.svg the best samples. `--help` lists all options.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jsonargparse import CLI
from torch import nn

import svlearn as sv
from svlearn.checkpoints import load_value
from svlearn.evaluation.report.files import write
from svlearn.rollouts import RolloutData
from svlearn.values.calibration import calibrate
from teaching import TeachingFormatter


def evaluate(
    reference: sv.Reference,
    reward: Callable,
    network: nn.Module,
    value_path: Path = Path("runs/qm9_value/value.safetensors"),
    rollouts: Path = Path("runs/qm9_value/rollouts"),
    output: Path = Path("reports/qm9"),
    num_samples: int = 256,
    num_candidates: int = 10,
    smc_alpha: float = 0.01,
    seed: list[int] = [0],  # noqa: B006
    max_batch: int = 512,
    results: Path | None = None,
) -> None:
    """Compare samplers on one reference and one reward.

    Args:
        reference: the pretrained process.
        reward: a callable of finished states.
        network: the value network, as it was trained.
        value_path: its weights, as train_value.py wrote them.
        rollouts: trajectories of the reference, for the correlation of the values with the reward by time step.
        output: where the report goes.
        num_samples: samples of each sampler and seed.
        num_candidates: M of SVDD, N of best-of-N, K of SMC.
        smc_alpha: temperature of SMC-PM, in units of the reward.
        seed: one or several.
        max_batch: states in one network call.
        results: where the JSON goes, if not to the output.
    """
    greedy, soft = sv.Target(reward, alpha=0.0), sv.Target(reward, alpha=smc_alpha)
    learned = sv.values.Learned(load_value(network, value_path, reference).eval())
    training_free = sv.values.PosteriorMean(greedy)
    samplers = {
        "pretrained": sv.ancestral(reference, greedy),
        f"best-of-{num_candidates}": sv.best_of_n(reference, greedy, num_candidates),
        "SVDD-PM": sv.svdd(reference, greedy, training_free, num_candidates),
        "SVDD-MC": sv.svdd(reference, greedy, learned, num_candidates),
        f"SMC-PM (alpha {smc_alpha:g})": sv.smc(reference, soft, sv.values.PosteriorMean(soft), num_candidates),
    }
    data = RolloutData(rollouts)
    data.setup()
    held_out = data.rollouts[data.validation_rows]
    with torch.no_grad():
        calibrations = {
            "SVDD-MC": calibrate(learned, reference, held_out),
            "SVDD-PM": calibrate(training_free, reference, held_out),
        }
    comparison = sv.compare(
        samplers, num_samples, seed=seed, max_batch=max_batch, progress=True, calibrations=calibrations
    )
    comparison.to_html(output / "report.html")
    comparison.to_json(output / "comparison.json" if results is None else results)
    comparison.to_csv(output / "comparison.csv")
    draw_best(comparison, reference, output / "samples.svg")
    print(comparison.to_markdown())
    print(comparison.verdict("SVDD-MC", "SVDD-PM"))
    print(f"the page: {output / 'report.html'}; the best samples: {output / 'samples.svg'}")


def draw_best(comparison: sv.Comparison, reference: sv.Reference, path: Path, each: int = 6) -> None:
    """A row of pictures for every sampler: its best samples with their rewards."""
    objects, captions = [], []
    for name, gallery in comparison.galleries.items():
        objects += [thing for thing, _ in gallery.best[:each]]
        captions += [f"{name}: {reward:.3f}" for _, reward in gallery.best[:each]]
    markup = reference.draw(objects, captions)
    if markup is not None:
        write(path, markup)


if __name__ == "__main__":
    CLI(evaluate, description=__doc__, formatter_class=TeachingFormatter, as_positional=False)
