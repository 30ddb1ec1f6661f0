"""Rewards of sequences as plain data build them, what a reward must do, and by which identity stores know them."""

from pathlib import Path

import pytest
import torch
import yaml

from svlearn.domains.sequences.alphabet import DNA
from svlearn.domains.sequences.rewards import GCContent, Motif, MPRADragoNN, Optimus5Prime
from svlearn.domains.sequences.rewards.dragonn import FILE
from svlearn.domains.sequences.rewards.optimus import MODELS
from svlearn.identity import identity
from svlearn.randomness import seeded
from svlearn.recipes import Context, build
from svlearn.targets import Target
from svlearn.testing import check_reward

CONFIGS = Path(__file__).parents[3] / "configs" / "sequences"
NEEDS = {"optimus": MODELS["evolution"], "dragonn": FILE}
LENGTHS = {"utr5": 50, "hepg2": 171, "yeast-promoters": 110}
COUNTS = [[8.0, 0.0, 0.0, 0.0], [0.0, 0.0, 4.0, 4.0]]


def tokens_of(length: int) -> torch.Tensor:
    return torch.randint(4, (5, length), generator=seeded("cpu", 2))


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("*/rewards/*.yaml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}"
)
def test_a_configured_reward_does_what_a_reward_must(path, walk, assets, tmp_path):
    if path.stem in NEEDS:
        assets(NEEDS[path.stem])
    recipe = yaml.safe_load(path.read_text())["model"]["init_args"]["target"]["reward"]
    if path.stem == "stability":
        pytest.importorskip("RNA", reason="stability needs viennarna: the extra `sequences`")
        recipe["init_args"] |= {"cache": str(tmp_path / "energies.sqlite"), "num_workers": 1}
    reward = build(recipe, Context(), "reward")
    check_reward(Target(reward, 1.0), walk, states=tokens_of(LENGTHS[path.parts[-3]]))
    assert identity(Target(reward, 1.0)) == identity(Target(build(recipe, Context(), "reward"), 1.0))
    if path.stem == "stability":
        reward.scorer.close()


@pytest.mark.parametrize(
    "options", [{"pseudocount": 0.5}, {"both_strands": False}, {"background": [0.4, 0.1, 0.1, 0.4]}]
)
def test_a_motif_by_other_settings_has_another_identity(options):
    assert identity(Motif(COUNTS)) == identity(Motif(COUNTS)) != identity(Motif(COUNTS, **options))


def test_other_tasks_windows_and_models_have_other_identities(assets):
    for file in (FILE, *MODELS.values()):
        assets(file)
    made = [MPRADragoNN(), MPRADragoNN("K562"), MPRADragoNN(stride=26), Optimus5Prime(), Optimus5Prime("retrained")]
    assert len({identity(reward) for reward in made}) == 5


def test_rewards_can_be_weighed_together():
    target = Target({GCContent(): 2.0, Motif(COUNTS): 1.0}, alpha=0.1)
    tokens = DNA.encode(["AGGC", "AATT"])
    assert torch.allclose(target(tokens), 2 * GCContent()(tokens) + Motif(COUNTS)(tokens))
    assert target.reward.reads_one_hot


def test_a_constraint_is_built_from_plain_data():
    sites = {"class_path": "svlearn.domains.sequences.rewards.LacksSites", "init_args": {"sites": ["EcoRI", "BsaI"]}}
    target = build({"class_path": "svlearn.targets.constraint", "init_args": {"predicate": sites}}, Context(), "target")
    assert target(DNA.encode(["AAGAATTCAA", "AAGGTCTCAA", "AAAAAAAAAA"])).tolist() == [-torch.inf, -torch.inf, 0.0]
