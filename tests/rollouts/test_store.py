"""The store on disk: what is refused, and how it is read."""

import json
import pickle

import pytest
import torch
from rollout_toys import Mixed, Walk, files_of, total
from tensordict import TensorDict

from svlearn import Target
from svlearn.rollouts import Rollouts, collect
from svlearn.rollouts.manifest import Manifest, Request
from svlearn.rollouts.store import Writer


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "store"
    collect(Walk(), 10, path, target=Target(total, alpha=1.0), batch_size=4, progress=False)
    return path


def rewrite(path, **changes):
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"format": 2, "request": {}, "complete": [], "files": null}',
        '{"format": 1, "request": {"kind": "process"}, "complete": [], "files": null}',
        '{"format": 1, "request": null, "complete": [], "files": null}',
        "\x00\xff",
    ],
)
def test_a_corrupt_manifest_is_refused(stored, text):
    (stored / "manifest.json").write_text(text, encoding="latin-1")
    for use in (Rollouts.open, lambda path: collect(Walk(), 10, path, batch_size=4, progress=False)):
        with pytest.raises(ValueError, match="manifest.json: expected a manifest of svlearn rollouts, format 1, got"):
            use(stored)


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": [0, 1, 2, 2]},
        {"complete": [0, 1, 3]},
        {"complete": ["0", "1", "2"]},
        {"complete": [[0], [1], [2]]},
        {"complete": 3},
        {"files": None},
        {"files": {}},
        {"files": [1]},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(stored, changes):
    rewrite(stored, **changes)
    with pytest.raises(ValueError, match="got a corrupt one"):
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
