"""Weights on disk: what is refused, and by which words."""

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from svlearn import checkpoints
from svlearn.domains.analytic import FiniteMarkovChain
from svlearn.loading import load, shipped


@pytest.fixture
def chain():
    return FiniteMarkovChain.random(3, 2, seed=0)


def test_a_value_comes_back_as_it_was(tmp_path, chain):
    network = nn.Linear(3, 1)
    path = checkpoints.save_value(network, tmp_path / "new" / "value.safetensors", chain, note="by hand")
    other = checkpoints.load_value(nn.Linear(3, 1), path, chain)
    assert torch.equal(other.weight, network.weight)
    assert checkpoints.read_record(path)["note"] == "by hand"


def test_a_checkpoint_of_another_reference_is_refused(tmp_path, chain):
    path = checkpoints.save_value(nn.Linear(3, 1), tmp_path / "value.safetensors", chain)
    with pytest.raises(ValueError, match="expected a checkpoint of this reference"):
        checkpoints.load_value(nn.Linear(3, 1), path, FiniteMarkovChain.random(3, 2, seed=1))


def test_weights_of_another_shape_are_refused(tmp_path, chain):
    path = checkpoints.save_value(nn.Linear(3, 1), tmp_path / "value.safetensors", chain)
    with pytest.raises(ValueError, match="the weights do not fit Linear"):
        checkpoints.load_value(nn.Linear(4, 1), path, chain)


def test_missing_corrupt_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        checkpoints.read_record(tmp_path / "absent.safetensors")
    (tmp_path / "corrupt.safetensors").write_bytes(b"not a checkpoint at all")
    with pytest.raises(ValueError, match="expected a safetensors file, got one that is corrupt"):
        checkpoints.read_record(tmp_path / "corrupt.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="without its record"):
        checkpoints.read_record(tmp_path / "foreign.safetensors")


def test_load_says_what_it_knows(tmp_path):
    with pytest.raises(ValueError, match="expected a file or one of .*qm9.*, got 'qm8'"):
        load("qm8")
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors: no such checkpoint"):
        load(tmp_path / "absent.safetensors")
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family="unheard of")
    with pytest.raises(ValueError, match="expected a reference of a family of .*qm9.*, got 'unheard of'"):
        load(path)
    with pytest.raises(FileNotFoundError, match="no such shipped checkpoint"):
        shipped("absent.safetensors")


def with_metadata(path, **metadata):
    save_file({"x": torch.zeros(1)}, path, metadata=metadata)
    return path


@pytest.mark.parametrize("record", ["", "not JSON", "[]", "3", "null", "{" * 5, "[" * 100_000, '{"a": 1} more'])
def test_a_malformed_record_is_one_error(record, tmp_path):
    path = with_metadata(tmp_path / "odd.safetensors", svlearn=record)
    for read in (checkpoints.read_record, load):
        with pytest.raises(ValueError, match=r"odd\.safetensors: expected a checkpoint with a record in JSON, got"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"PK\x03\x04", b"\xff" * 100])
def test_an_empty_or_foreign_file_names_its_path(content, tmp_path):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    for read in (checkpoints.read_record, load, lambda path: checkpoints.load_into(nn.Linear(1, 1), path)):
        with pytest.raises(ValueError, match=r"odd\.safetensors: expected a safetensors file, got one that is corrupt"):
            read(path)


def test_a_file_that_is_cut_anywhere(tmp_path):
    path = checkpoints.save(nn.Linear(3, 1), tmp_path / "cut.safetensors", family="qm9")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors: expected"):
            load(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="expected a safetensors file, got a folder"):
        load(tmp_path)


def test_the_home_folder_in_a_path(tmp_path, monkeypatch, chain):
    monkeypatch.setenv("HOME", str(tmp_path))
    checkpoints.save(nn.Linear(3, 1), tmp_path / "a.safetensors", family="unheard of")
    assert checkpoints.read_record("~/a.safetensors") == {"family": "unheard of"}
    with pytest.raises(ValueError, match="got 'unheard of'"):
        load("~/a.safetensors")


def test_families_that_are_no_names(tmp_path):
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family=["qm9"])
    with pytest.raises(ValueError, match=r"odd\.safetensors: expected a reference of a family of"):
        load(path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "expected a record with 'network', dict, got one without"),
        ({"network": 3}, "expected a record with 'network', dict, got int there"),
        ({"network": {"num_atoms": 9, "colour": 1}}, "expected the arguments of a GraphTransformer, got .*colour"),
        ({"network": {"depth": "many"}}, "depth: expected an integer"),
        ({"network": {"depth": 10**7}}, "depth: expected an integer of -10000 ... 10000, got 10000000"),
        ({"network": {"width": -3}}, "expected the arguments of a GraphTransformer"),
        ({"network": {"width": 8, "depth": 1}}, "the weights do not fit"),
    ],
)
def test_records_that_do_not_say_how_to_build(record, message, tmp_path):
    path = checkpoints.save(nn.Linear(1, 1), tmp_path / "odd.safetensors", family="qm9", **record)
    with pytest.raises(ValueError, match=rf"odd\.safetensors: .*{message}"):
        load(path)


class Tied(nn.Module):
    """Weights that share memory in every way: tied, a view of a buffer, expanded, transposed."""

    def __init__(self, fill=0.0):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        base = torch.arange(12.0) + fill
        self.register_buffer("base", base)
        self.register_buffer("view", base[3:6])
        self.register_buffer("wide", (torch.ones(1, 2) + fill).expand(4, 2).clone())
        self.register_buffer("turned", (torch.arange(6.0) + fill).view(2, 3).T)
        self.register_buffer("empty", torch.zeros(0))

    def forward(self, x):
        return self.second(self.first(x))


def test_weights_that_share_memory_are_saved_and_stay_tied(tmp_path, chain):
    network = Tied(1.0)
    path = checkpoints.save_value(network, tmp_path / "value.safetensors", chain)
    other = checkpoints.load_value(Tied(), path, chain)
    for name, entry in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], entry), name
    assert other.second.weight is other.first.weight
    x = torch.randn(2, 3)
    assert torch.equal(other(x), network(x))
    free = Tied()
    free.second = nn.Linear(3, 3)  # a module that ties nothing takes the same file
    assert torch.equal(checkpoints.load_into(free, path).second.weight, network.first.weight)


def test_a_slice_of_an_expanded_tensor_is_saved_in_full(tmp_path):
    holder = nn.Module()
    holder.register_buffer("wide", torch.ones(1, 2).expand(4, 2))
    holder.register_buffer("part", torch.arange(1000.0)[:2])
    path = checkpoints.save(holder, tmp_path / "holder.safetensors")
    assert path.stat().st_size < 1000  # not the memory that a view is of
    taking = nn.Module()
    taking.register_buffer("wide", torch.zeros(4, 2))
    taking.register_buffer("part", torch.zeros(2))
    assert checkpoints.load_into(taking, path).part.tolist() == [0.0, 1.0]


class Remembering(nn.Module):
    """A module with an extra state."""

    def __init__(self, extra=None):
        super().__init__()
        self.inner, self.extra = nn.Linear(2, 1), extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


EXTRAS = [
    None,
    {"steps": 3, "names": ("a", None), "rate": 0.1, "nested": [{"on": True}, []], "spread": {}},
    torch.arange(3),
    {"held": {"states": torch.ones(2, 2), "same": torch.zeros(1)}, "list": [torch.tensor(2.0)]},
]


@pytest.mark.parametrize("extra", EXTRAS, ids=str)
def test_extra_states_are_kept_without_a_pickle(tmp_path, extra):
    module = nn.Sequential(Remembering(extra))
    path = checkpoints.save(module, tmp_path / "module.safetensors", note="by hand")
    other = checkpoints.load_into(nn.Sequential(Remembering()), path)[0]
    assert str(other.extra) == str(extra) and type(other.extra) is type(extra)
    assert torch.equal(other.inner.weight, module[0].inner.weight)
    assert checkpoints.read_record(path) == {"note": "by hand"}


def lazy():
    return nn.LazyLinear(2)


def sparse():
    module = nn.Module()
    module.register_buffer("edges", torch.eye(2).to_sparse())
    return module


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Remembering({"when": object()}), "value: expected a module that can be saved, .* _extra_state holds a object"),
        (Remembering({1: 2}), "_extra_state holds a dict; expected None, bools, numbers"),
        (lazy(), "weight is not initialised yet; call the module once"),
        (sparse(), "edges is no dense tensor with numbers in it"),
        (nn.Linear(2, 2, device="meta"), "weight is no dense tensor"),
    ],
)
def test_what_cannot_be_saved_is_told_before_it_is_written(tmp_path, module, words):
    with pytest.raises(ValueError, match=words):
        checkpoints.check_savable(module, "value")
    with pytest.raises(ValueError, match=words.split(".* ")[-1]):
        checkpoints.save(module, tmp_path / "value.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = checkpoints.save(nn.Linear(2, 1), tmp_path / "value.safetensors", note="old")
    with pytest.raises(TypeError, match="record: expected what JSON can hold"):
        checkpoints.save(nn.Linear(2, 1), path, note=object())

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(nn.Linear(2, 1), path, note="new")

    def full_for_safetensors(tensors, file, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoints, "save_file", full_for_safetensors)
    with pytest.raises(OSError, match=r"value\.safetensors: could not be written .*No space left"):
        checkpoints.save(nn.Linear(2, 1), path, note="new")
    assert checkpoints.read_record(path)["note"] == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["value.safetensors"]


def test_a_malformed_extra_state_is_one_error_that_names_the_file(tmp_path):
    path = tmp_path / "odd.safetensors"
    deep = '{"a": ' + '[{"dict": {"b": ' * 300 + "1" + "}}]" * 300 + "}"
    for extra in ('{"a": {"no": 1}}', '{"a": {}}', '{"a": {"dict": 3}}', '{"a": {"svlearn_tensor": "b"}}', deep):
        save_file({"weight": torch.zeros(1)}, path, metadata={"svlearn": "{}", "svlearn_extra_states": extra})
        with pytest.raises(ValueError, match=r"odd\.safetensors: expected the extra state 'a' as svlearn writes it"):
            checkpoints.load_into(nn.Linear(1, 1), path)


def test_map_location_says_where_the_module_goes(tmp_path, chain):
    path = checkpoints.save_value(nn.Linear(3, 1), tmp_path / "value.safetensors", chain)
    assert checkpoints.load_value(nn.Linear(3, 1), path, chain, map_location="cpu").weight.device.type == "cpu"
    assert checkpoints.load_into(nn.Linear(3, 1), path, map_location=torch.device("cpu")).weight.device.type == "cpu"
    if torch.cuda.is_available():
        assert checkpoints.load_into(nn.Linear(3, 1), path, map_location="cuda").weight.device.type == "cuda"
