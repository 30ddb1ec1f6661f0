"""`make demo`: which commands it runs, of which domain and family, and what it refuses."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONFIGS = "configs/molecules/qm9"
VALUES, POLICIES = (
    sorted(path.stem for path in (ROOT / CONFIGS / kind).glob("*.yaml")) for kind in ("values", "policies")
)


@pytest.mark.parametrize("family", ["soft_q", "policy_gradient"])
def test_the_demo_takes_any_family(family):
    result = subprocess.run(["make", "-n", "demo", f"FAMILY={family}"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    commands = result.stdout.replace("\\\n", " ")
    command = "train-value" if family in VALUES else "finetune"
    config = f"{CONFIGS}/{'values' if family in VALUES else 'policies'}/{family}.yaml"
    assert f"svlearn {command} --config qm9 --config {config}" in " ".join(commands.split())
    assert f"/{family}/{'value' if family in VALUES else 'policy'}.safetensors" in commands


def test_the_demo_names_the_families_that_it_knows():
    result = subprocess.run(["make", "-n", "demo", "FAMILY=nope"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0
    (line,) = [line for line in result.stderr.splitlines() if "nope" in line]
    assert all(family in line for family in (*VALUES, *POLICIES))


def test_the_demo_of_sequences_is_that_of_its_name():
    result = subprocess.run(["make", "-n", "demo", "DOMAIN=utr5"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    commands = [line for line in result.stdout.splitlines() if "/svlearn " in line]
    train, evaluate = (line.partition("/svlearn ")[2] for line in commands)
    assert (train, evaluate) == ("train-value --config utr5", "evaluate --config utr5 --config utr5/demo")
    folder = ROOT / "configs/sequences/utr5"
    home = yaml.safe_load((folder / "value.yaml").read_text())["trainer"]["default_root_dir"]
    values = yaml.safe_load((folder / "demo.yaml").read_text())["values"]
    assert values["learned"]["init_args"]["name_or_path"] == f"{home}/value.safetensors"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["DOMAIN=nope"], "DOMAIN: expected one of qm9 digits stories utr5, got nope"),
        (["DOMAIN=utr5", "FAMILY=soft_q"], "FAMILY: the demo of utr5 has one value alone"),
    ],
)
def test_the_demo_refuses_what_it_does_not_have(words, message):
    result = subprocess.run(["make", "-n", "demo", *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode != 0 and message in result.stderr
