"""The wheel: it holds the configurations and the checkpoints, and runs where no checkout is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "runs", "reports", "build", "*.egg-info", "__pycache__", "tests", "benchmarks")
pytestmark = pytest.mark.slow


def run(*arguments, where, **environment):
    done = subprocess.run(
        [*map(str, arguments)],
        cwd=where,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is written to the checkout, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=LEFT_OUT)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, folder / "source", where=folder)
    (path,) = folder.glob("svlearn-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with svlearn from the wheel, to be put on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")
    run(sys.executable, "-m", "pip", "install", *offline, "--target", folder, wheel, where=folder)
    return folder


def test_the_wheel_holds_all_that_the_package_reads(wheel):
    held = set(ZipFile(wheel).namelist())
    for folder, pattern in (("configs", "*.yaml"), ("checkpoints", "*")):
        files = [path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern) if path.is_file()]
        assert files and {f"svlearn/data/{path.as_posix()}" for path in files} <= held
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "svlearn").rglob("*.py")}
    assert modules <= held and {"svlearn/py.typed", "svlearn/evaluation/report/report.html.j2"} <= held
    assert not [name for name in held if name.startswith(("tests", "scripts", "benchmarks", "configs"))]


def test_the_installed_command_compares_the_shipped_configuration(installed, tmp_path):
    path = run(
        sys.executable, "-c", "import svlearn; print(svlearn.__file__)", where=tmp_path, PYTHONPATH=str(installed)
    )
    assert Path(path.strip()) == installed / "svlearn/__init__.py"
    table = run(
        *(installed / "bin/svlearn", "evaluate", "--config", "qm9", "--num_samples", 2, "--output", "report"),
        where=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert "SVDD-learned then PM reaches" in table
    figures = json.loads((tmp_path / "report/comparison.json").read_text())["figures"]
    assert figures["SVDD-learned"]["reference_calls_per_sample"] == 45
    assert figures["SVDD-learned then PM"]["reference_calls_per_sample"] == 20 + 25 * 10
    assert all(0 < each["mean_reward"] < 1 for each in figures.values())
    assert "<svg" in (tmp_path / "report/samples.svg").read_text() and (tmp_path / "report/report.html").is_file()


def test_the_installed_command_trains_a_value_by_names(installed, tmp_path):
    run(
        *(installed / "bin/svlearn", "train-value", "--config", "qm9", "--config", "qm9/values/monte_carlo"),
        *(
            "--num_trajectories",
            20,
            "--trainer.max_steps",
            1,
            "--trainer.logger",
            "false",
            "--trainer.callbacks",
            "null",
        ),
        where=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert (tmp_path / "runs/qm9_value/monte_carlo/value.safetensors").is_file()
