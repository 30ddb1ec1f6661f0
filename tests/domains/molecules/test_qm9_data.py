"""The data of QM9: whose graphs are trained on, what a cache may be, and CSV files as others write them."""

import os
import pickle
import resource

import pytest
import torch
from molecule_toys import CHAIN
from rdkit import Chem
from safetensors.torch import save_file
from tensordict import TensorDict

from svlearn.domains.molecules import graph_cache
from svlearn.domains.molecules.codec import decode
from svlearn.domains.molecules.qm9_data import QM9Data, canonical_smiles, encode_smiles
from svlearn.domains.molecules.smiles_table import read_smiles

OTHERS = ["CO", "CN", "CF", "C=O", "C#N", "CCO", "CCN", "CCF"]


def table(path, smiles=CHAIN):
    path.write_text("idx,smiles\n" + "".join(f"{place},{text}\n" for place, text in enumerate(smiles)))
    return str(path)


def graphs(path, cache, **options):
    data = QM9Data(path, **{"batch_size": 2, "num_validation": 2, "cache_dir": str(cache), **options})
    data.prepare_data()
    data.setup()
    return torch.cat([data.train, data.validation])


def molecules(states):
    return sorted(Chem.MolToSmiles(each) for each in decode(states))


def test_each_file_has_a_cache_of_its_own(tmp_path):
    first, second = table(tmp_path / "a.csv"), table(tmp_path / "b.csv", OTHERS)
    for path, smiles in [(first, CHAIN), (second, OTHERS), (first, CHAIN)]:
        assert molecules(graphs(path, tmp_path / "cache")) == sorted(smiles)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_changed_file_is_read_anew(tmp_path):
    path = table(tmp_path / "a.csv")
    graphs(path, tmp_path / "cache")
    table(tmp_path / "a.csv", OTHERS)
    os.utime(path, (0, 0))
    assert molecules(graphs(path, tmp_path / "cache")) == sorted(OTHERS)


def test_a_cache_is_taken_and_needs_no_parsing(tmp_path, monkeypatch):
    path = table(tmp_path / "a.csv")
    held = graphs(path, tmp_path / "cache")
    monkeypatch.setattr("svlearn.domains.molecules.qm9_data.encode_smiles", None)
    again = graphs(path, tmp_path / "cache")
    assert all(torch.equal(again[name], held[name]) for name in ("atoms", "bonds", "mask"))


@pytest.mark.parametrize("setting", ["rdkit", "format"])
def test_another_version_parses_anew(setting, tmp_path, monkeypatch):
    path = table(tmp_path / "a.csv")
    graphs(path, tmp_path / "cache")
    if setting == "rdkit":
        monkeypatch.setattr(graph_cache.rdBase, "rdkitVersion", "another")
    else:
        monkeypatch.setattr(graph_cache, "FORMAT", 0)
    graphs(path, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def flip(file):
    content = bytearray(file.read_bytes())
    content[-400] ^= 1
    file.write_bytes(content)


def of_something_else(file):
    save_file({"atoms": torch.zeros(3)}, file)


def of_no_tensor(file):
    save_file({}, file)


@pytest.mark.parametrize(
    "damage", [cut, flip, of_something_else, of_no_tensor, lambda file: file.write_bytes(b""), os.unlink]
)
def test_a_damaged_cache_is_made_anew(damage, tmp_path, monkeypatch):
    path = table(tmp_path / "a.csv")
    graphs(path, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    damage(file)
    assert molecules(graphs(path, tmp_path / "cache")) == sorted(CHAIN)
    assert list((tmp_path / "cache").iterdir()) == [file]
    monkeypatch.setattr("svlearn.domains.molecules.qm9_data.encode_smiles", None)
    assert molecules(graphs(path, tmp_path / "cache")) == sorted(CHAIN)


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_planted_in_the_cache_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path / "a.csv")
    TensorDict(dict(encode_smiles(CHAIN).items()), batch_size=[8]).memmap(tmp_path / ".cache/qm9_graphs")
    harm = pickle.dumps(Harm(tmp_path / "harm"))
    (tmp_path / ".cache/qm9_graphs/other.pickle").write_bytes(harm)
    data = QM9Data(path, batch_size=2, num_validation=2)
    data.prepare_data()
    (file,) = (tmp_path / ".cache").glob("*.safetensors")
    file.write_bytes(harm)
    data.setup()
    assert not (tmp_path / "harm").exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    path = table(tmp_path / "a.csv")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("svlearn.domains.molecules.qm9_data.encode_smiles", None)
    with pytest.raises(ValueError, match=r"cache_dir: expected a folder that can be written, got '.*file/in' \("):
        graphs(path, tmp_path / "file/in")


def test_a_full_disk_is_an_error(tmp_path):
    """As a full disk does, a limit on the length of files makes a write come back with an error."""
    path, limits = table(tmp_path / "a.csv"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(ValueError, match="cache_dir: expected room for qm9_graphs_"):
            graphs(path, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "cache").iterdir())
    assert molecules(graphs(path, tmp_path / "cache")) == sorted(CHAIN)


def test_the_home_folder_in_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    table(tmp_path / "a.csv")
    assert len(graphs("~/a.csv", "~/cache")) == 8
    assert list((tmp_path / "cache").iterdir())


def test_too_few_molecules(tmp_path):
    with pytest.raises(ValueError, match=r"at least num_validation \+ batch_size = 9 molecules, got 8 in .*a.csv"):
        graphs(table(tmp_path / "a.csv"), tmp_path / "cache", batch_size=7)


def test_numbers_of_numpy(tmp_path):
    import numpy as np

    options = {"batch_size": np.int64(2), "num_validation": np.int32(2), "seed": np.uint64(2**63 + 5)}
    assert len(graphs(table(tmp_path / "a.csv"), tmp_path / "cache", **options)) == 8
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
        QM9Data(batch_size=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"idx,smiles\n1,CC\n2,CS\n", "a.csv: CS: expected neutral C, N, O, F, got S"),
        (b"smiles\nC(\n", r"a.csv: C\(: not a molecule that RDKit can read"),
        (b"smiles\n", "a.csv: expected the SMILES of at least one molecule, got none"),
    ],
)
def test_molecules_that_do_not_fit(content, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        graphs(str(tmp_path / "a.csv"), tmp_path / "cache")


def test_canonical_smiles_name_what_cannot_be_read(tmp_path):
    assert canonical_smiles(table(tmp_path / "a.csv", ["OC", "C"])) == {"CO", "C"}
    with pytest.raises(ValueError, match=r"a.csv: C\(: not a molecule"):
        canonical_smiles(table(tmp_path / "a.csv", ["OC", "C("]))


@pytest.mark.parametrize(
    "content",
    [
        "idx,smiles\n0,CC\n1,CO\n",
        "\ufeffsmiles,idx\nCC,0\nCO,1\n",
        "\ufeff\"smiles\"\r\nCC\r\nCO\r\n",
        "SMILES\rCC\rCO",
        "name; of it, Smiles ,x\na,CC,1\n\n , \nb, CO ,1\n\n",
        "SMILES,smiles\nCN,CC\nCN,CO\n",
        "n,smiles\n\"a, b\",CC\n\"c\nd\",CO\n",
    ],
)  # fmt: skip
def test_tables_of_others(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content.encode())
    assert read_smiles(tmp_path / "a.csv") == ["CC", "CO"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"\xef\xbb\xbf\r\n", "got an empty file"),
        (b"idx,name\n1,CC\n", r"a CSV file with a column 'smiles', got 'idx', 'name'"),
        (b"idx;smiles\n1;CC\n", "got 'idx;smiles'"),
        (b"smiles,smiles\nC,CC\n", "got 2 of that name"),
        (b"Smiles,SMILES\nC,CC\n", "got 2 of that name"),
        (b"idx,smiles\n1,CC\n\n2\n", "line 4: expected a SMILES in 'smiles', got none"),
        (b"idx,smiles\n1,\n", "line 2: expected a SMILES in 'smiles', got none"),
        ("smiles\nCC\n".encode("utf-16"), "UTF-8 text, got what cannot be read"),
        (b"smiles\n\xff\xfe\x00\n", "UTF-8 text, got what cannot be read"),
        (b'smiles\nO\n"CC\nCO\nCN\n', r"got a text of 3 lines that ends in line 5, 'CC.nCO.nCN'.*not closed"),
        (b"smiles\n" + b"C" * 200_000, r"got what cannot be read \(field larger than"),
    ],
)
def test_tables_that_are_refused(content, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.csv: .*{message}"):
        read_smiles(tmp_path / "a.csv")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"absent\.csv: no such file; expected a CSV file with a column 'smiles'"
    ):
        QM9Data(str(tmp_path / "absent.csv"), cache_dir=str(tmp_path)).prepare_data()
    with pytest.raises(ValueError, match="expected a CSV file with a column 'smiles', got a folder"):
        read_smiles(tmp_path)
