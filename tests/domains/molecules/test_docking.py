"""Docking: by Vina itself where it and the receptors are there, and what becomes of its answers."""

import math

import numpy as np
import pytest
import torch
from docking_toys import BOX
from molecule_toys import empty_graph, graphs_of, invalid_graph
from rdkit import Chem

from svlearn.domains.molecules import docking, docking_vina
from svlearn.domains.molecules.docking import Docking, Receptor, find_receptor
from svlearn.domains.molecules.docking_vina import Dock, conformer_of, ligand_of
from svlearn.targets import Target


def test_a_molecule_has_one_score(parp1, tmp_path):
    reward = Docking(parp1, exhaustiveness=1, num_workers=1, cache=tmp_path / "docking.sqlite")
    first = reward(graphs_of("CCO", "c1ccccc1", "OCC"))
    reward.scorer.close()
    again = Docking(parp1, exhaustiveness=1, num_workers=1).of_smiles(
        ["c1ccccc1", "CCO"]
    )  # another process, another order
    assert again.tolist() == first[[1, 0]].tolist()
    assert first[2] == first[0]
    assert 1.5 < first[0] < 3.5 < first[1] < 6  # kcal/mol: benzene finds more to hold on to than ethanol
    later = Docking(parp1, exhaustiveness=1, num_workers=1, cache=tmp_path / "docking.sqlite")
    assert later.of_smiles(["OCC", "c1ccccc1"]).tolist() == first[[0, 1]].tolist()
    assert later.report() == {"asked": 2, "docked": 0, "cached": 2, "failed": 0}


def test_a_box_where_no_protein_is_or_no_ligand_can_be_is_refused(parp1):
    found = find_receptor(parp1)
    for away in (200, -60):
        with pytest.raises(ValueError, match="centre: expected a box that holds atoms of .*parp1.pdbqt, which reaches"):
            Receptor(found.path, tuple(place + away for place in found.centre), found.size)
    for size in ((1, 1, 1), (20, 20, 4.9), (20, 101, 20)):
        with pytest.raises(ValueError, match="size: expected edges of 5 to 100 Å, got"):
            Receptor(found.path, found.centre, size)


def test_a_molecule_that_finds_no_room_fails(parp1):
    """A box of 8 Å holds ethanol; of a long molecule much would lie outside."""
    found = find_receptor(parp1)
    reward = Docking(Receptor(found.path, found.centre, (8, 8, 8)), exhaustiveness=1, num_workers=1)
    large = "c1ccc(cc1)-c1ccc(cc1)-c1ccc(cc1)-c1ccccc1"  # 19 Å long, and stiff
    ethanol, ring = reward.of_smiles(["CCO", large]).tolist()
    reward.scorer.close()
    assert 1 < ethanol < 3 and ring == 0.0
    ((failed, why),) = reward.scorer.failures
    assert Chem.CanonSmiles(large) == failed and why.startswith("ValueError: no pose: ")


def test_what_vina_cannot_dock_is_counted_with_its_reason(parp1):
    reward = Docking(parp1, exhaustiveness=1, num_workers=1)
    assert reward.of_smiles(["[Na+]", "OB(O)C", "C[Se]C", "[H][H]"]).tolist() == [0.0] * 4
    reasons = {f"ValueError: Vina docks no {atom}": 1 for atom in ("Na", "B", "Se", "hydrogen")}
    assert reward.report() == {"asked": 4, "docked": 4, "cached": 0, "failed": 4, **reasons}


def test_every_element_that_may_be_docked_has_a_type(vina):
    for smiles in ("CC", "N", "O", "CF", "C[Si](C)(C)C", "CP", "CS", "CCl", "CBr", "CI"):
        assert ligand_of(conformer_of(Chem.MolFromSmiles(smiles), seed=1)).startswith("REMARK")


def test_rings_stay_closed_however_large(vina):
    """Of cyclodecane nothing turns; of its butyl derivative three bonds do, the one to the ring among them."""
    for smiles, torsions in (("C1CCCCCCCCC1", 0), ("CCCCC1CCCCCCCCC1", 3)):
        assert ligand_of(conformer_of(Chem.MolFromSmiles(smiles), seed=1)).split()[-1] == str(torsions)


# what becomes of an affinity


def test_the_reward_is_minus_the_affinity_of_the_best_pose(engine, own):
    dock = Dock(str(own.path), *BOX, exhaustiveness=4, seed=1)
    assert dock(Chem.MolFromSmiles("CCO")) == 7.25
    engine.affinity = 3.0
    assert dock(Chem.MolFromSmiles("CCO")) == 0.0
    assert engine.asked == [4, 4]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"affinity": -7e5}, "an affinity of -700000 kcal/mol"),
        ({"affinity": 7e5}, "an affinity of 700000 kcal/mol"),
        ({"affinity": -31.0}, "an affinity of -31 kcal/mol"),
        ({"affinity": math.nan}, "an affinity of nan kcal/mol"),
        ({"affinity": 0.0, "between": 0.0}, "it touches no atom of the receptor"),
        ({"place": (0.0, 0.0, -7.5)}, "it lies 2.5 Å out of the box"),
        ({"place": (0.0, math.nan, 0.0)}, "it lies nan Å out of the box"),
    ],
)
def test_what_is_no_pose_is_a_failure_of_the_molecule(engine, own, tmp_path, change, why):
    vars(engine).update(change)
    reward = Docking(own, num_workers=1, cache=tmp_path / "docking.sqlite")
    assert reward.of_smiles(["CCO"]).tolist() == [0.0]
    assert reward.scorer.failures == [("CCO", f"ValueError: no pose: {why}")]
    reward.scorer.close()


def test_a_docking_that_hangs_is_killed_and_tried_again_by_the_next_run(engine, own, tmp_path):
    """With a longer time limit, or on a quieter machine, it has a score."""
    engine.affinity = -math.inf
    reward = Docking(own, num_workers=1, timeout=1.0, cache=tmp_path / "docking.sqlite")
    assert reward.of_smiles(["CCO"]).tolist() == [0.0]
    told = {"asked": 1, "docked": 1, "cached": 0, "failed": 1, "no result within 1 seconds": 1}
    assert reward.report() == told
    assert reward.of_smiles(["CCO"]).tolist() == [0.0]  # this run does not wait for it twice
    assert reward.report() == told | {"asked": 2}
    reward.scorer.close()
    engine.affinity = -2.3
    for cached in (0, 1):
        later = Docking(own, num_workers=1, cache=tmp_path / "docking.sqlite")
        assert later.of_smiles(["CCO"]).tolist() == pytest.approx([2.3])
        assert later.report() == {"asked": 1, "docked": 1 - cached, "cached": cached, "failed": 0}
        later.scorer.close()


def test_a_graph_without_a_molecule_is_not_docked(engine, own):
    reward = Docking(own, num_workers=1)
    assert reward(torch.cat([invalid_graph(), graphs_of("CCO"), empty_graph()])).tolist() == [0.0, 7.25, 0.0]
    assert reward.scorer.counts.scored == 1
    assert Target(reward, alpha=0.0)(graphs_of("CCO")).tolist() == [7.25]


@pytest.mark.parametrize(
    "change",
    [
        {"exhaustiveness": 3},
        {"seed": 2},
        {"receptor": "other"},
        {"size": (11, 11, 11)},
        {"centre": (0, 0, 1)},
        {"vina": "2.0"},
        {"meeko": "2.0"},
        {"rdkit": "2.0"},
        {"recipe": "MAX_FORCE_FIELD_STEPS"},
        {"recipe": "VERSION"},
    ],
)
def test_a_score_is_cached_under_all_that_it_depends_on(engine, own, tmp_path, monkeypatch, change):
    cache, centre, size = tmp_path / "docking.sqlite", *BOX
    Docking(own, num_workers=1, cache=cache).of_smiles(["CCO"])
    engine.affinity = -1.5
    assert Docking(own, num_workers=1, cache=cache).of_smiles(["CCO"]).tolist() == [7.25]
    if "receptor" in change:
        own.path.write_text(own.path.read_text().replace("0.000   0.000", "0.000   1.000"))
    monkeypatch.setattr(docking, "version", lambda name: change.get(name, f"{name} 1.0"))
    if "recipe" in change:
        monkeypatch.setattr(docking_vina, change["recipe"], 3)
    changed = Receptor(own.path, change.get("centre", centre), change.get("size", size))
    options = {name: number for name, number in change.items() if name in ("exhaustiveness", "seed")}
    assert Docking(changed, num_workers=1, cache=cache, **options).of_smiles(["CCO"]).tolist() == [1.5]


@pytest.mark.parametrize("same", [{"timeout": 50.0}, {"num_workers": 2}, {"correct": True}, {"failure_score": -1.0}])
def test_what_does_not_decide_a_score_is_no_part_of_its_key(engine, own, tmp_path, same):
    Docking(own, num_workers=1, cache=tmp_path / "docking.sqlite").of_smiles(["CCO"])
    engine.affinity = -1.5
    later = Docking(own, cache=tmp_path / "docking.sqlite", **{"num_workers": 1, **same})
    assert later.of_smiles(["CCO"]).tolist() == [7.25]


def test_a_conformer_has_hydrogens_and_depends_on_the_seed_alone():
    molecule = Chem.MolFromSmiles("CCO")
    one, same, other = (conformer_of(molecule, seed).GetConformer().GetPositions() for seed in (1, 1, 2))
    assert one.shape == (9, 3)
    assert (one == same).all() and not np.allclose(one, other)
    assert np.linalg.norm(one[0] - one[1]) == pytest.approx(1.51, abs=0.03)  # C-C, Å


def test_a_molecule_without_a_conformer_says_so(monkeypatch):
    tried = []
    never = lambda molecule, how: tried.append((how.useRandomCoords, how.maxIterations)) or -1  # noqa: E731
    monkeypatch.setattr(docking_vina.rdDistGeom, "EmbedMolecule", never)
    with pytest.raises(ValueError, match="no conformer"):
        conformer_of(Chem.MolFromSmiles("CC"), seed=1)
    assert tried == [(False, 50), (True, 50)]
