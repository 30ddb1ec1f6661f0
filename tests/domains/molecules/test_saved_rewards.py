"""A molecular reward carries its recipe: a value of it is saved as it is, and scores the same in another process."""

import forking
import pytest
import torch
from molecule_toys import num_atoms

import svlearn as sv
from svlearn.checkpoints import read_record
from svlearn.description import describe
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.rewards import QED, SA, MoleculeReward, PenalizedLogP, Similarity, Substructure
from svlearn.recipes import Context, build
from svlearn.values import PosteriorMean, load_value, save_value

SMILES = ["CCO", "c1ccccc1O", "CC(=O)NC1CC1", "C1CCCCCCC1", "CCN"]
REWARDS = {
    "drug-likeness": lambda: QED(num_workers=1),
    "repaired": lambda: QED(True, 1, invalid_score=-1.0),
    "synthesis": lambda: SA(num_workers=1, timeout=5.0),
    "solubility": lambda: PenalizedLogP(num_workers=1, invalid_score=-3.0),
    "similarity": lambda: Similarity("CCO", num_workers=1),
    "substructure": lambda: Substructure("[OH]", num_workers=1),
    "of other states": lambda: QED(codec=GDSSCodec(), num_workers=1),
}
LOADED = """
import sys, torch
import svlearn as sv
from rdkit import Chem
reward = sv.load_value(sys.argv[1], sv.load("qm9")).target.reward
print(reward.of_smiles(sys.argv[2].split(",")).tolist())
"""


@pytest.fixture(scope="module")
def qm9():
    return sv.load("qm9")


@pytest.mark.parametrize("name", REWARDS)
def test_a_value_of_it_is_saved_and_loaded(name, qm9, tmp_path):
    reward = REWARDS[name]()
    value = PosteriorMean(sv.Target(reward, 0.5))
    path = save_value(value, tmp_path / "value.safetensors", qm9)
    again = load_value(path, qm9).target.reward
    assert type(again) is type(reward) and again.name == reward.name
    assert torch.equal(again.of_smiles(SMILES), reward.of_smiles(SMILES))
    for each in (reward, again):
        each.scorer.close()


def test_a_fresh_process_scores_the_same(qm9, tmp_path):
    reward = QED(num_workers=1, invalid_score=-0.5)
    path = save_value(PosteriorMean(sv.Target(reward, 0)), tmp_path / "value.safetensors", qm9)
    done = forking.run("-c", LOADED, path, ",".join(SMILES))
    assert done.stdout.strip() == str(reward.of_smiles(SMILES).tolist()), done.stderr
    reward.scorer.close()


def test_files_and_workers_of_this_machine_are_no_part_of_the_recipe(qm9, tmp_path):
    reward = QED(num_workers=1, memory=10, per_task=2, failure_score=-1.0)
    path = save_value(PosteriorMean(sv.Target(reward, 0)), tmp_path / "value.safetensors", qm9)
    recipe = read_record(path)["value"]["init_args"]["target"]["init_args"]["reward"]
    assert recipe == {
        "class_path": "svlearn.domains.molecules.rewards.QED",
        "init_args": {"failure_score": -1.0},
    }


class Twice(MoleculeReward):
    """A reward of a user: its own parameters are what its recipe has."""

    def __init__(self, factor, *, num_workers=None):
        super().__init__(num_atoms, num_workers=num_workers, invalid_score=-factor)


def test_a_reward_of_ones_own_is_recorded_too(qm9):
    reward = Twice(2.0, num_workers=1)
    recipe = describe(reward, qm9, "reward")
    assert recipe["init_args"] == {"factor": 2.0} and recipe["class_path"].endswith("Twice")
    assert build({**recipe, "class_path": recipe["class_path"]}, Context(), "reward").name == reward.name
    plain = describe(MoleculeReward(num_atoms, correct=True), qm9, "reward")
    assert plain["init_args"] == {"function": "molecule_toys.num_atoms", "correct": True}
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'factor'"):
        Twice()
