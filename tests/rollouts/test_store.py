"""The store on disk: how it is read, and which files are refused."""

import hashlib
import json
import pickle

import pytest
import torch
from rollout_toys import Mixed, Walk, files_of, rewrite, total
from tensordict import TensorDict

from svlearn import Target
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import Manifest, Request
from svlearn.rollouts.store import Writer


def test_a_missing_store_is_not_found(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match=str(path)):
            Rollouts.open(path)


def test_opens_as_it_was_collected(stored):
    rollouts = Rollouts.open(str(stored))
    assert len(rollouts) == 10 and rollouts.request.seed == 0 and rollouts.request.num_steps == 4
    assert torch.equal(rollouts.rewards, total(rollouts.states[:, -1]))


def test_rows_are_copied_to_memory(stored):
    rollouts = Rollouts.open(stored)
    before = files_of(stored)
    for index in ([3, 1, 9], torch.tensor([3, 1, 9])):
        batch = rollouts[index]
        assert type(batch["states"]) is torch.Tensor and batch.batch_size == (3,)
        assert torch.equal(batch["states"][1], rollouts.states[1])
        assert torch.equal(batch["rewards"], rollouts.rewards[torch.tensor([3, 1, 9])])
        batch["states"].zero_()
    assert files_of(stored) == before


def described(path, changes, entry=None):
    """A store whose description of the data was changed, and the digest of it too."""
    file = path / "data" / "meta.json"
    held = json.loads(file.read_text())
    (held if entry is None else held[entry]).update(changes)
    file.write_text(json.dumps(held))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["data/meta.json"] = hashlib.sha256(file.read_bytes()).hexdigest()
    rewrite(path, **manifest)


@pytest.mark.parametrize(
    ("entry", "changes"),
    [
        (None, {"shape": [90]}),
        (None, {"shape": 10}),
        (None, {"shape": [True]}),
        (None, {"shape": None}),
        (None, {"states": {"type": "Bomb"}}),
        (None, {"states": {}}),
        ("rewards", {"shape": [1000]}),
        ("rewards", {"shape": [10, 10**9]}),
        ("rewards", {"shape": [10] * 100}),
        ("rewards", {"shape": [10.0]}),
        ("rewards", {"shape": "10"}),
        ("rewards", {"dtype": "torch.float128"}),
        ("rewards", {"dtype": "torch.float32"}),
        ("rewards", {"dtype": ["torch.float64"]}),
        ("rewards", {"dtype": None}),
        ("rewards", {"is_nested": True}),
        ("rewards", {"type": "NonTensorData"}),
    ],
)
def test_a_description_that_does_not_fit_the_files_is_refused(stored, entry, changes):
    described(stored, changes, entry)
    with pytest.raises(ValueError, match=f"^{stored}/data/meta.json: expected the description of 10 rows"):
        Rollouts.open(stored)
    assert (stored / "data" / "rewards.memmap").stat().st_size == 80


def test_no_class_that_a_description_names_is_imported(stored, tmp_path, monkeypatch):
    (tmp_path / "bomb_of_a_store.py").write_text(f"open({str(tmp_path / 'gone_off')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    described(stored, {"_class": "bomb_of_a_store:Bomb", "_type": "<class 'bomb_of_a_store.Bomb'>"})
    assert len(Rollouts.open(stored)) == 10
    assert not (tmp_path / "gone_off").exists()


def test_folders_in_each_other_end(stored):
    folder = stored / "data"
    for _ in range(40):
        folder = folder / "a"
        folder.mkdir()
        (folder / "meta.json").write_text('{"shape": [10]}')
    with pytest.raises(ValueError, match="meta.json: expected .* more than 32 folders in each other"):
        Rollouts.open(stored)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00\xff"])
def test_a_description_that_is_none_is_refused(stored, text):
    described(stored, {})
    file = stored / "data" / "meta.json"
    file.write_text(text, encoding="latin-1")
    manifest = json.loads((stored / "manifest.json").read_text())
    del manifest["files"]["data/meta.json"]
    rewrite(stored, **manifest)
    with pytest.raises(ValueError, match=f"^{file}: expected the description of 10 rows of tensors"):
        Rollouts.open(stored)


def test_an_incomplete_store_is_refused(stored):
    rewrite(stored, complete=[0, 2])
    with pytest.raises(ValueError, match=f"{stored}: expected 3 chunks, got 2"):
        Rollouts.open(stored)


def test_a_truncated_file_is_refused_and_not_lengthened(stored):
    file = stored / "data" / "states.memmap"
    with file.open("r+b") as opened:
        opened.truncate(100)
    with pytest.raises(ValueError, match=r"states.memmap: expected 1200 bytes, got 100"):
        Rollouts.open(stored)
    rewrite(stored, complete=[0, 1])
    with pytest.raises(ValueError, match=r"states.memmap: expected 1200 bytes, got 100"):
        collect(Walk(), 10, stored, target=Target(total, alpha=1.0), batch_size=4, progress=False)
    assert file.stat().st_size == 100


def test_a_missing_file_is_refused(stored):
    (stored / "data" / "rewards.memmap").unlink()
    with pytest.raises(ValueError, match=r"rewards.memmap: expected 80 bytes, got no file"):
        Rollouts.open(stored)


def test_a_changed_description_of_the_data_is_refused(stored):
    file = stored / "data" / "meta.json"
    file.write_text(file.read_text().replace("[10", "[90"))
    with pytest.raises(ValueError, match="meta.json: expected .* as its SHA-256, got"):
        Rollouts.open(stored)


def test_nothing_is_unpickled(stored, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("gone_off").touch, ())

    for name in ("other.pickle", "non_tensor.pickle"):
        (stored / "data" / name).write_bytes(pickle.dumps(Bomb()))
    assert len(Rollouts.open(stored)) == 10
    assert not (tmp_path / "gone_off").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="expected a new or empty directory, got one that holds data"):
        collect(Walk(), 4, tmp_path, progress=False)
    assert (tmp_path / "data" / "thesis.tex").read_text() == "all of it"
    with pytest.raises(ValueError, match="expected a new or empty directory, got a file"):
        collect(Walk(), 4, tmp_path / "data" / "thesis.tex", progress=False)


def test_what_was_killed_while_it_was_allocated_is_made_anew(tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    (path / ".manifest.json.1.part").write_text('{"format"')  # killed before the first rename
    request = Request("process", num_trajectories=4, num_steps=3, batch_size=2, seed=0, process="p")
    Writer(path, request)
    (path / "data" / "states").mkdir(parents=True)  # killed before the first chunk was recorded
    (path / "data" / "states" / "words.memmap").write_bytes(b"half")
    writer = Writer(path, request)
    assert writer.missing() == [0, 1] and writer.num_written() == 0
    writer.write(1, TensorDict({"rewards": torch.tensor([3.0, 4.0])}, batch_size=[2]))
    assert not (path / "data" / "states").exists()
    assert Writer(path, request).missing() == [0] and Writer(path, request).num_written() == 2
    Writer(path, request).write(0, TensorDict({"rewards": torch.tensor([1.0, 2.0])}, batch_size=[2]))
    assert Rollouts.open(path).rewards.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert Manifest.read(path).complete == (1, 0)


def test_fields_that_are_no_tensors_are_refused(tmp_path):
    class Named(Mixed):
        def initial(self, batch_size, *, condition=None, generator=None):
            x = super().initial(batch_size, generator=generator)
            x["name"] = "anonymous"
            return x

        def forward(self, x, t, previous=None):
            prediction = super().forward(x, t)
            prediction.transition.sample = lambda generator=None: x
            return prediction

    with pytest.raises(TypeError, match="states: expected tensors to store, got .* as .*name"):
        collect(Named(), 2, tmp_path, progress=False)
