"""What the benchmarks keep: made once, and never taken for what it was not made of."""

import json
import subprocess
from types import SimpleNamespace

import pytest
import torch

from benchmarks.common import artifacts
from benchmarks.gdss import trajectories
from benchmarks.gdss_docking import training as docking
from benchmarks.qm9 import training


def test_a_file_is_made_once(tmp_path):
    file = tmp_path / "new" / "value.safetensors"
    assert artifacts.missing(file, seed=1, options=("a",)) and artifacts.missing(file, seed=2, options=("a",))
    file.write_text("made")
    assert not artifacts.missing(file, seed=2, options=["a"])


def test_a_file_made_of_something_else_is_refused(tmp_path):
    file = tmp_path / "value.safetensors"
    assert artifacts.missing(file, seed=1, rate=0.1)
    file.write_text("made")
    with pytest.raises(ValueError, match=r"value.safetensors: expected what is made of seed 2, got 1; move it away"):
        artifacts.missing(file, seed=2, rate=0.1)
    with pytest.raises(ValueError, match="rate None, got 0.1"):
        artifacts.missing(file, seed=1)
    (tmp_path / "value.safetensors.made_of.json").unlink()
    with pytest.raises(ValueError, match="seed 1, got None"):
        artifacts.missing(file, seed=1, rate=0.1)


def test_settings_are_told_apart_by_what_they_say(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    (tmp_path / "value.yaml").write_text("rate: 1")
    first = artifacts.configs(tmp_path / "value.yaml")
    (tmp_path / "value.yaml").write_text("rate: 2")
    assert list(first) == ["value.yaml"] and artifacts.configs(tmp_path / "value.yaml") != first


def test_docked_molecules_are_those_of_the_states(tmp_path, monkeypatch):
    """The note of a chunk of other trajectories is not taken."""

    class Reward:
        scorer = SimpleNamespace(smiles=lambda states: ["C"] * len(states), close=lambda: None)

        def __call__(self, states):
            return states.float()

        def report(self):
            return {}

    monkeypatch.setattr(docking, "RUNS", tmp_path)
    monkeypatch.setattr(docking, "made", lambda cache: Reward())
    request = SimpleNamespace(rows=lambda chunk: slice(2 * chunk, 2 * chunk + 2), num_steps=3)
    rollouts = [SimpleNamespace(states=torch.arange(24).view(6, 4) + shift, request=request) for shift in (0, 1)]
    assert docking.docked(0, rollouts[0])["rewards"] == [3.0, 7.0]
    with pytest.raises(ValueError, match=r"docked/0.json: expected what is made of states"):
        docking.docked(0, rollouts[1])


def test_trajectories_that_share_states_are_told_from_others():
    request = dict(
        kind="process", num_trajectories=3, num_steps=2, batch_size=2, seed=0, process="a", proposal=None, reward="QED"
    )
    stores = [SimpleNamespace(request=SimpleNamespace(**(request | change))) for change in
              ({}, {"reward": "SA"}, {"seed": 1}, {"process": "b"})]  # fmt: skip
    assert [trajectories.same_states(stores[0], other) for other in stores] == [True, True, False, False]


@pytest.mark.parametrize("change", ["configs", "seed", "options"])
def test_a_trained_value_is_told_by_its_settings(change, tmp_path, monkeypatch):
    assert training.untrained("monte_carlo", 1, tmp_path, [])
    (tmp_path / "value.safetensors").write_text("trained")
    assert not training.untrained("monte_carlo", 1, tmp_path, [])
    note = tmp_path / "value.safetensors.made_of.json"
    assert set(json.loads(note.read_text())["configs"]) == {
        "configs/molecules/qm9/value.yaml",
        "configs/molecules/qm9/values/monte_carlo.yaml",
    }
    seed, options = (2 if change == "seed" else 1), (["--x"] if change == "options" else [])
    if change == "configs":
        monkeypatch.setattr(training, "configs", lambda *files: {"changed": "x"})
    with pytest.raises(ValueError, match=f"expected what is made of {change}"):
        training.untrained("monte_carlo", seed, tmp_path, options)


def test_a_training_is_the_script_with_its_settings(tmp_path, monkeypatch):
    """In the order in which the last word wins, from the root of the repository; its seconds are those of the child."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train_value.py").write_text(
        "import json, pathlib, sys, time\n"
        "while time.process_time() < 0.2: pass\n"
        "pathlib.Path('words.json').write_text(json.dumps(sys.argv))\n"
    )
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    spent = artifacts.train("train_value", [tmp_path / "a.yaml", tmp_path / "b.yaml"], tmp_path / "run", "--x", "1")
    script, *words = json.loads((tmp_path / "words.json").read_text())
    where = ["--trainer.default_root_dir", f"{tmp_path}/run", "--trainer.logger.init_args.save_dir", f"{tmp_path}/run"]
    config = ["--config", f"{tmp_path}/a.yaml", "--config", f"{tmp_path}/b.yaml"]
    assert script == "scripts/train_value.py" and words == ["fit", *config, *where, "--x", "1"]
    assert spent["cpu_seconds"] >= 0.15
    with pytest.raises(subprocess.CalledProcessError):
        artifacts.train("absent", [], tmp_path)
