"""Is what was learned worth it? Compare it with the training-free SVDD-PM, best-of-N and SMC, with what each costs.

    python scripts/evaluate.py --config configs/molecules/qm9/evaluate.yaml
    python scripts/evaluate.py --config configs/molecules/qm9/evaluate.yaml --value_path null --rollouts null \\
        --policy_path runs/qm9_policy/policy_gradient/policy.safetensors

Samplers, at M = N = K = `num_candidates`: pretrained (plain samples), best-of-N, SVDD-PM (the value is the reward of
the predicted molecule) at alpha = 0 as in the SVDD paper, and SMC-PM at `smc_alpha`. With a `value_path`, SVDD with
the trained network, SVDD-MC where Monte Carlo regression trained it; with a `policy_path`, the policy's plain
samples, the best of N of them, and SVDD-PM and SMC-PM that propose by the policy. The table goes to the terminal;
<output>/report.html is the page, comparison.json and comparison.csv the figures, samples.svg the best samples.
Each sampler that is done is kept in <output>/partial.json: `--resume true` goes on from there after a stop, and runs
again what failed. `--help` lists all options.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

import svlearn as sv
from command_line import main
from svlearn.checkpoints import check_reference, load_into, load_value, read_record
from svlearn.evaluation.partial import Partial
from svlearn.files import check_writable, user_path, write
from svlearn.fingerprint import fingerprint
from svlearn.inference.proposals import Policy
from svlearn.rollouts import RolloutData
from svlearn.values.calibration import calibrate

FREE = "SVDD-PM"
ASIDE = ("config", "output", "results", "resume")


def evaluate(
    reference: sv.Reference,
    reward: Callable,
    network: nn.Module | None = None,
    policy: sv.policies.Policy | None = None,
    value_path: Path | None = None,
    policy_path: Path | None = None,
    rollouts: Path | None = None,
    output: Path = Path("reports/qm9"),
    num_samples: int = 256,
    num_candidates: int = 10,
    smc_alpha: float = 0.01,
    seed: int | list[int] = 0,
    max_batch: int = 512,
    results: Path | None = None,
    resume: bool = False,
    request: dict[str, Any] | None = None,
) -> None:
    """Compare samplers on one reference and one reward.

    Args:
        reference: the pretrained process.
        reward: a callable of finished states.
        network: the value network, as it was trained.
        policy: the policy, as it was before training.
        value_path: weights of the network, as train_value.py wrote them; none: no learned value is compared.
        policy_path: weights of the policy, as finetune_policy.py wrote them; none: no policy is compared.
        rollouts: trajectories of the reference, for the correlation of the values with the reward by time step.
        output: where the report goes.
        num_samples: samples of each sampler and seed.
        num_candidates: M of SVDD, N of best-of-N, K of SMC.
        smc_alpha: temperature of SMC-PM, in units of the reward.
        seed: one or several.
        max_batch: states in one network call.
        results: where the JSON goes, if not to the output.
        resume: take the samplers of this very request that are done from <output>/partial.json.
        request: the command line, by which a partial file is told from that of another request.
    """
    value_path, policy_path, rollouts = (
        None if path is None else user_path(path) for path in (value_path, policy_path, rollouts)
    )
    output = user_path(output)
    for file in ("report.html", "comparison.csv", "samples.svg", "partial.json"):
        check_writable(output / file, "output")
    results = check_writable(output / "comparison.json" if results is None else results, "results")
    for name, module, path in (("network", network, value_path), ("policy", policy, policy_path)):
        if path is not None and module is None:
            raise ValueError(f"{name}: expected the module that {path} holds the weights of, got none")
    greedy, soft = sv.Target(reward, alpha=0.0), sv.Target(reward, alpha=smc_alpha)
    values: dict[str, sv.Value] = {FREE: sv.values.PosteriorMean(greedy)}
    free, steered, smc = values[FREE], sv.values.PosteriorMean(soft), f"SMC-PM (alpha {smc_alpha:g})"
    samplers = {
        "pretrained": sv.ancestral(reference, greedy),
        f"best-of-{num_candidates}": sv.best_of_n(reference, greedy, num_candidates),
        FREE: sv.svdd(reference, greedy, free, num_candidates),
        smc: sv.smc(reference, soft, steered, num_candidates),
    }
    learned = []
    if network is not None and value_path is not None:
        objective = read_record(value_path)["objective"]
        name = "SVDD-MC" if objective == "MonteCarloRegression" else f"SVDD, {objective}"
        values[name] = sv.values.Learned(load_value(network, value_path, reference).eval())
        samplers[name] = sv.svdd(reference, greedy, values[name], num_candidates)
        learned.append(name)
    if policy is not None and policy_path is not None:
        record = read_record(policy_path)
        check_reference(record, policy_path, reference)
        name, own = f"policy, {record['objective']}", load_into(policy, policy_path).eval()
        samplers |= {
            name: sv.ancestral(own, greedy),
            f"best-of-{num_candidates} of the policy": sv.best_of_n(own, greedy, num_candidates),
            f"{FREE} by the policy": sv.svdd(reference, greedy, free, num_candidates, Policy(own)),
            f"{smc} by the policy": sv.smc(reference, soft, steered, num_candidates, proposal=Policy(own)),
        }
        learned.append(name)
    asked = what_decides(request, reference, (value_path, policy_path))
    comparison = sv.compare(
        samplers,
        num_samples,
        seed=seed,
        max_batch=max_batch,
        progress=True,
        calibrations={} if rollouts is None else calibrations(values, reference, rollouts),
        partial=Partial(output / "partial.json", asked, resume=resume),
    )
    show(str(comparison))
    for name in learned:
        if name in comparison.figures and FREE in comparison.figures:
            show(comparison.verdict(name, FREE))
    whole = [
        attempt(results, comparison.to_json),
        attempt(output / "comparison.csv", comparison.to_csv),
        attempt(output / "report.html", comparison.to_html),
        attempt(output / "samples.svg", lambda path: draw_best(comparison, reference, path)),
    ]
    show(f"the page: {output / 'report.html'}; the best samples: {output / 'samples.svg'}")
    if comparison.failures or not all(whole):
        print(f"not all is done: `--resume true` takes what is from {output / 'partial.json'}", file=sys.stderr)
        sys.exit(1)


def what_decides(
    request: dict[str, Any] | None, reference: sv.Reference, paths: tuple[Path | None, ...]
) -> dict[str, Any]:
    """The request of a partial file: the command line without what only says where files go, and what it names."""
    given = {} if request is None else {key: each for key, each in request.items() if key not in ASIDE}
    sums = [None if path is None else hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return {**given, "reference_fingerprint": fingerprint(reference), "weights": sums}


def show(text: str) -> None:
    """Print it; a terminal or a pipe that is gone, or has no such letters, costs no file."""
    try:
        print(text, flush=True)
    except (OSError, UnicodeError) as error:
        print(f"not all could be printed: {error}", file=sys.stderr)


def attempt(path: Path, make: Callable[[Path], Any]) -> bool:
    """Write one file; where that fails, say so, and let the others be written."""
    try:
        make(path)
    except Exception as error:
        print(f"{path} was not written: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


@torch.no_grad()
def calibrations(values: dict[str, sv.Value], reference: sv.Reference, rollouts: Path) -> dict[str, pd.DataFrame]:
    """How well each value agrees with the reward by time step, on trajectories that trained none of them."""
    data = RolloutData(rollouts)
    data.setup()
    held_out = data.rollouts[data.validation_rows]
    return {name: calibrate(value, reference, held_out) for name, value in values.items()}


def draw_best(comparison: sv.Comparison, reference: sv.Reference, path: Path, each: int = 6) -> None:
    """A row of pictures for every sampler: its best samples with their rewards."""
    objects, captions = [], []
    for name, gallery in comparison.galleries.items():
        if gallery.draw is None:  # text
            continue
        objects += [thing for thing, _ in gallery.best[:each]]
        captions += [f"{name}: {reward:.3f}" for _, reward in gallery.best[:each]]
    markup = reference.draw(objects, captions) if objects else None
    if markup is not None:
        write(path, markup)


if __name__ == "__main__":
    main(evaluate, __doc__)
