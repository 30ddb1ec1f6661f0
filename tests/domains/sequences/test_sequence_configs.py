"""The shipped configurations of sequences: every part is built, fits its reference, and has a say on its samples."""

from pathlib import Path

import pytest
import torch
import yaml

import svlearn as sv
from svlearn.cli.parts import Parts
from svlearn.domains.sequences.rewards.dragonn import FILE
from svlearn.domains.sequences.rewards.optimus import MODELS
from svlearn.evaluation.judging import Judging
from svlearn.recipes import Context, build

CONFIGS = Path(__file__).parents[3] / "configs" / "sequences"
NEEDS = {
    "utr5": ("utr5/mrl_egfp_m1pseudo2_20k.csv", MODELS["evolution"]),
    "hepg2": ("dna/hepg2_lentimpra_171bp.tsv", FILE),
    "yeast-promoters": ("promoters/yeast_promoters_demo.tsv",),
}


def read(name: str, file: str) -> dict:
    return yaml.safe_load((CONFIGS / name / file).read_text())


def finished(reference: sv.Reference, number: int) -> torch.Tensor:
    start = reference.initial(number)
    letters = torch.randint(4, start.shape, generator=torch.Generator().manual_seed(0))
    return torch.where(start == reference.alphabet.mask, letters, start)


@pytest.mark.parametrize("name", NEEDS)
def test_every_part_of_a_comparison_fits_its_reference(assets, name):
    for file in NEEDS[name]:
        assets(file)
    content = read(name, "evaluate.yaml")
    reference, reward = sv.load(content["reference"]), build(content["reward"], Context(), "reward")
    kinds = ("targets", "values", "samplers", "judges", "metrics")
    parts = Parts(reference, reward, **{kind: content[kind] for kind in kinds})
    samplers, x = parts.all("samplers"), finished(reference, 4)
    assert {"pretrained", "best-of-10", "SVDD-PM"} <= {*samplers}
    assert all(sampler.reference is reference for sampler in samplers.values())
    judging = Judging.of(parts.all("judges"), parts.all("metrics"))
    rewards = sv.Target(reward, 0.0)(x)
    scores = {each: judging.scores(each, x, reference, 2) for each in judging.judges}
    assert rewards.isfinite().all() and all(each.shape == (4,) for each in scores.values())
    assert not any((each == rewards.double().numpy()).all() for each in scores.values())  # a judge is another
    assert -1 <= judging.measured("3-mer correlation", reference.decode(x)) <= 1


@pytest.mark.parametrize("name", NEEDS)
def test_a_value_is_told_the_time_of_its_reference(assets, name):
    for file in NEEDS[name]:
        assets(file)
    arguments = read(name, "value.yaml")["model"]["init_args"]
    reference = sv.load(arguments["reference"]["init_args"]["name_or_path"])
    value = build(arguments["value"], Context(), "value")
    assert value.network.num_steps == reference.num_steps
    reward, compared = arguments["target"]["reward"], read(name, "evaluate.yaml")["reward"]
    x = finished(reference, 3)
    assert torch.equal(build(reward, Context(), "reward")(x), build(compared, Context(), "reward")(x))
    assert value(x, torch.zeros(3, dtype=torch.long)).shape == (3,)


@pytest.mark.slow
def test_the_demo_of_sequences_trains_and_compares(assets, tmp_path, monkeypatch):
    """As `make demo DOMAIN=utr5` does it, with less of everything."""
    from svlearn import cli

    for file in NEEDS["utr5"]:
        assets(file)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr("sys.argv", ["svlearn", *map(str, words)])
        cli.main()

    few = ("--num_trajectories", 20, "--trainer.max_steps", 2, "--trainer.check_val_every_n_epoch", 1)
    run("train-value", "--config", "utr5", *few, "--trainer.logger", "false")
    small = [
        word for each in ("SVDD-PM", "SVDD-learned") for word in (f"--samplers.{each}.init_args.num_candidates", 2)
    ]
    run("evaluate", "--config", "utr5", "--config", "utr5/demo", "--num_samples", 4, *small)
    page = (tmp_path / "reports/utr5/report.html").read_text()
    assert page.count('class="all"') == 5 and "Optimus 5-Prime" in page and "SVDD-learned then PM reaches" in page
