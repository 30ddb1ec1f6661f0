"""The configured policies of sequences, on a small reference with the networks and rewards of the field."""

from pathlib import Path

import pytest
import torch
import yaml

from svlearn.domains.sequences import DNA, MaskedDiffusion
from svlearn.domains.sequences.networks import DilatedCNN, RotaryTransformer
from svlearn.domains.sequences.regressor import SequenceRegressor
from svlearn.policies import Finetuned
from svlearn.randomness import seeded
from svlearn.recipes import Context, build
from svlearn.targets import Target

CONFIGS = Path(__file__).parents[3] / "configs" / "sequences" / "utr5"
NETWORKS = {
    "CNN": lambda: DilatedCNN(num_letters=4, width=16, kernel_size=3, depth=2),
    "transformer that reads the time": lambda: RotaryTransformer(width=16, depth=1, num_heads=2, time_width=8),
}


@pytest.fixture(scope="module")
def regressor():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SequenceRegressor(50, width=8, narrow=2, hidden=8, start_codons=1).eval()


def configured(name: str, network: str, regressor, **options):
    """The objective of a YAML of policies/ on top of policy.yaml, of a reference of 60 steps that is not trained."""
    shared, own = (
        yaml.safe_load((CONFIGS / path).read_text())["model"] for path in ("policy.yaml", f"policies/{name}")
    )
    arguments = {**shared["init_args"], **own["init_args"], **options}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        reference = MaskedDiffusion(NETWORKS[network](), DNA, 50, 60).eval().requires_grad_(False)
    known = {
        "reference": reference,
        "target": Target(regressor, arguments["target"]["alpha"]),
        "policy": Finetuned(reference),
    }
    recipe = {key: each for key, each in arguments.items() if key not in known}
    return build({"class_path": own["class_path"], "init_args": recipe}, Context(known), "model")


@pytest.mark.parametrize("network", NETWORKS)
def test_a_gradient_reaches_every_parameter_that_is_trained(network, regressor):
    objective = configured("gumbel_softmax.yaml", network, regressor, batch_size=4, truncation=6)
    loss = objective.loss(objective._trajectories(0, 4, seeded("cpu", 0)), seeded("cpu", 1))
    loss.backward()
    slopes = [each.grad for each in objective.trained().parameters()]
    assert all(each is not None and bool(each.isfinite().all()) for each in slopes)
    assert sum(bool((each != 0).any()) for each in slopes) >= len(slopes) - 1
    assert all(each.grad is None for each in [*objective.reference.parameters(), *regressor.parameters()])


def test_the_configuration_is_of_the_shipped_reference_and_regressor():
    shared = yaml.safe_load((CONFIGS / "policy.yaml").read_text())["model"]["init_args"]
    assert (
        shared["reference"]["init_args"]
        == {"name_or_path": "utr5"}
        == shared["policy"]["init_args"]["reference"]["init_args"]
    )
    assert shared["target"]["reward"]["init_args"] == {"name": "mrl"}
