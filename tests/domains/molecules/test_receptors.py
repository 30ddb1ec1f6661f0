"""Receptors and their boxes, and options that docking refuses."""

import importlib
import math
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from docking_toys import BOX

from svlearn.domains.molecules import docking
from svlearn.domains.molecules.docking import BOXES, Docking, Receptor, find_receptor
from svlearn.public_files import ASSETS


def test_a_receptor_that_changes_while_it_is_docked_against_is_no_score(parp1, tmp_path):
    found = find_receptor(parp1)
    path = tmp_path / "mine.pdbqt"
    path.write_bytes(found.path.read_bytes())
    cache = tmp_path / "docking.sqlite"
    reward = Docking(Receptor(path, found.centre, found.size), exhaustiveness=1, num_workers=1, cache=cache)
    path.write_text(path.read_text() + "REMARK another\n")
    assert reward.of_smiles(["CCO"]).tolist() == [0.0]
    assert "is another file than it was" in reward.scorer.failures[0][1]
    assert len(reward.scorer.store) == 0
    reward.scorer.close()


def test_a_receptor_that_vina_does_not_read_is_no_failure_of_a_molecule(vina, own, tmp_path):
    own.path.write_text(own.path.read_text().replace("0.000 C ", "0.000 Xx"))
    reward = Docking(own, exhaustiveness=1, num_workers=1, cache=tmp_path / "docking.sqlite")
    assert reward.of_smiles(["CCO"]).tolist() == [0.0]
    ((_, why),) = reward.scorer.failures
    assert "own.pdbqt: expected a receptor that Vina reads, got another: PDBQT parsing error: Atom type Xx" in why
    assert reward.scorer.known == 0 and len(reward.scorer.store) == 0
    reward.scorer.close()


def test_a_receptor_is_found_from_another_folder(own, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    there = Receptor("own.pdbqt", *BOX).path
    monkeypatch.chdir("/")
    assert there == own.path


def test_a_receptor_may_move_to_another_folder(engine, own, tmp_path):
    Docking(own, num_workers=1, cache=tmp_path / "docking.sqlite").of_smiles(["CCO"])
    moved = Receptor(own.path.rename(tmp_path / "moved.pdbqt"), *BOX)
    later = Docking(moved, num_workers=1, cache=tmp_path / "docking.sqlite")
    assert later.of_smiles(["CCO"]).tolist() == [7.25]
    assert later.report()["cached"] == 1


def test_the_boxes_are_the_published_ones():
    # Centre and size as in scorer/docking.py of SeulLee05/MOOD.
    published = {
        "jak2": "114.758,65.496,11.345 19.033,17.929,20.283",
        "braf": "84.194,6.949,-7.081 22.032,19.211,14.106",
        "fa7": "10.131,41.879,32.097 20.673,20.198,21.362",
        "parp1": "26.413,11.282,27.238 18.521,17.479,19.995",
        "5ht1b": "-26.602,5.277,17.898 22.5,22.5,22.5",
    }
    boxes = {name: " ".join(",".join(map(str, numbers)) for numbers in box) for name, box in BOXES.items()}
    assert boxes == published


@pytest.mark.parametrize("name", BOXES)
def test_the_box_of_a_receptor_lies_at_its_atoms(name, assets):
    path = assets(f"docking/{name}.pdbqt")
    assert f"docking/{name}.pdbqt" in ASSETS
    lines = [line for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    atoms = np.array([[float(line[start : start + 8]) for start in (30, 38, 46)] for line in lines])
    centre, size = map(np.array, BOXES[name])
    inside = (np.abs(atoms - centre) < size / 2).all(axis=1).sum()
    assert inside > 100  # a pocket, not water
    assert find_receptor(name) == Receptor(path, *BOXES[name])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: find_receptor("parp"), "receptor: expected one of parp1, fa7, .* or a Receptor, got 'parp'"),
        (
            lambda path: Receptor(path / "no.pdbqt", *BOX),
            r"path: expected a PDBQT file .*no\.pdbqt; meeko's mk_pre",
        ),
        (lambda path: Receptor(path, *BOX), "path: expected a PDBQT file of a receptor, got"),
    ],
)
def test_a_receptor_that_is_not_there_is_refused(make, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        make(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"centre": (0, 0)}, r"centre: expected three numbers in Å, got \(0.0, 0.0\)"),
        ({"centre": (0, 0, math.nan)}, r"centre: expected three numbers in Å, got"),
        ({"size": (1, 1, 0)}, r"size: expected three numbers in Å, above 0, got \(1.0, 1.0, 0.0\)"),
        ({"size": (1, 1, 1)}, r"size: expected edges of 5 to 100 Å, got \(1.0, 1.0, 1.0\)"),
        ({"centre": 0}, r"centre: expected three numbers in Å, got \(0,\)|got \(0.0,\)"),
        ({"centre": ("0", "0", "0")}, r"centre: expected three numbers in Å, got \('0', '0', '0'\)"),
        ({"centre": (0, 0, 6)}, r"centre: expected a box that holds atoms of .*own.pdbqt, .* got none of its 1 in"),
    ],
)
def test_a_box_without_a_place_or_a_volume_is_refused(own, options, words):
    with pytest.raises(ValueError, match=words):
        Receptor(**{"path": own.path, "centre": BOX[0], "size": BOX[1], **options})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "path: expected a PDBQT file with the places of atoms, got .*own.pdbqt with 0 of them"),
        ("REMARK nothing\nEND\n", "path: expected a PDBQT file with the places of atoms, got .*with 0 of them"),
        ("ATOM      1  C   LIG\n", "path: expected a PDBQT file, got .*own.pdbqt with line 1: ATOM      1  C   LIG"),
        (
            "ATOM      1  C   LIG     1       0.000   0.000   0.000  1.00  0.00           C  \n",  # of a PDB file
            "path: expected a PDBQT file, got .*own.pdbqt with line 1: ATOM",
        ),
        (
            "ATOM      1  C   LIG     1       0.000   0.000   0.000  1.00  0.00     0.000\n",
            "path: expected a PDBQT file, got .*own.pdbqt with line 1: ATOM",
        ),
        ("MODEL 1\n", "path: expected a PDBQT file of one rigid receptor, got .*own.pdbqt with line 1: MODEL"),
        (
            "ATOM      1  C   LIG     1         nan   0.000   0.000  1.00  0.00     0.000 C \n",
            "path: expected a PDBQT file with the places of atoms",
        ),
    ],
)
def test_a_receptor_without_atoms_is_refused(own, text, words):
    own.path.write_text(text)
    with pytest.raises(ValueError, match=words):
        Receptor(own.path, *BOX)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"exhaustiveness": 0}, "exhaustiveness: expected an integer of at least 1, got 0"),
        ({"exhaustiveness": 1.5}, "exhaustiveness: expected an integer of at least 1, got 1.5"),
        ({"seed": 2**31}, "exhaustiveness, seed: expected at most 2147483647, got 2, 2147483648"),
        ({"seed": 0}, "seed: expected an integer of at least 1, got 0"),  # to Vina, 0 means a new one each time
    ],
)
def test_bad_options_are_refused(installed, own, options, words):
    with pytest.raises(ValueError, match=words):
        Docking(own, **options)


@pytest.mark.parametrize("missing", ["vina", "meeko"])
def test_without_the_programs_the_error_says_what_to_install(monkeypatch, own, missing):
    def version(name):
        if name == missing:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(docking, "version", version)
    with pytest.raises(ImportError, match=rf"docking needs {missing}, .*: pip install 'svlearn\[docking\]'"):
        Docking(own)


def test_a_receptor_that_cannot_be_fetched_says_where_to_put_it(installed, monkeypatch, tmp_path):
    monkeypatch.setenv("SVLEARN_ASSETS", str(tmp_path))
    monkeypatch.setenv("SVLEARN_CACHE", str(tmp_path / "cache"))
    assets = importlib.import_module("svlearn.assets")

    def no_network(*args, **kwargs):
        raise assets.RequestException("no network")

    monkeypatch.setattr(assets.pooch, "retrieve", no_network)
    with pytest.raises(ConnectionError, match="put the file into a folder as docking/parp1.pdbqt and name"):
        Docking("parp1")
