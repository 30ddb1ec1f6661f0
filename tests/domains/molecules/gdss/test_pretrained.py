"""The authors' checkpoints as processes: their numbers, their node counts, and molecules drawn from them."""

import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest
import torch
from rdkit import Chem

from svlearn.domains.molecules.gdss import pretrained
from svlearn.domains.molecules.gdss.corrector import Langevin
from svlearn.domains.molecules.gdss.decode import GDSSCodec
from svlearn.domains.molecules.gdss.gin import read_network
from svlearn.domains.molecules.gdss.reference import GDSS
from svlearn.domains.molecules.gdss.sde import VE, VP
from svlearn.domains.molecules.gdss.sizes import SIZES
from svlearn.domains.molecules.rewards import QED, SA
from svlearn.inference.proposals import Guided
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.state import times
from svlearn.targets import Target
from svlearn.values import PosteriorMean

ROOT = Path(__file__).parents[4]
FILES = {
    "gdss/gdss_zinc250k.pth": (0.9, VP(0.1, 1.0), VE(0.2, 1.0), 38, 9),
    "gdss/gdss_zinc250k_v2.pth": (0.8, VP(0.1, 1.0), VE(0.2, 1.0), 38, 9),
    "gdss/gdss_qm9.pth": (0.7, VE(0.1, 1.0), VE(0.1, 1.0), 9, 4),
}


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_brings_its_numbers(name, assets, generator):
    scale, sde_x, sde_adj, nodes, features = FILES[name]
    reference = GDSS.from_checkpoint(assets(name), num_steps=5)
    assert reference.corrector == Langevin(0.2, scale) and reference.num_steps == 10
    assert reference.num_features == features and len(reference.size_weights) == nodes
    assert not reference.training and not any(each.requires_grad for each in reference.parameters())
    alone = GDSS.from_checkpoint(assets(name), num_steps=5, corrector=False, predictor="euler_maruyama")
    assert alone.corrector is None and alone.num_steps == 5
    x = reference.initial(3, generator=generator)
    outputs = {
        "x": reference.network_x(x["x"], x["adj"], x["mask"]),
        "adj": reference.network_adj(x["x"], x["adj"], x["mask"]),
    }
    scores, time = reference.scores(x, times(0, 3)), torch.ones(1, dtype=torch.float64)
    for (part, output), sde in zip(outputs.items(), (sde_x, sde_adj)):
        torch.testing.assert_close(scores[part], output * float(sde.score_factor(time)))
        expected = (x[part] + float(sde.std(time)) ** 2 * scores[part]) / float(sde.scale(time))
        torch.testing.assert_close(reference(x, times(0, 3)).clean[part], expected)


def test_names_bring_checkpoints(assets):
    assets("gdss/gdss_qm9.pth")
    assert pretrained.qm9().num_steps == 400
    assert pretrained.zinc250k_v2(assets("gdss/gdss_zinc250k_v2.pth")).corrector.scale == 0.8
    assert pretrained.zinc250k().num_features == 9


@pytest.mark.parametrize("reward", pretrained.VALUED)
@pytest.mark.parametrize("family", pretrained.FAMILIES)
def test_shipped_values_read_the_process_that_they_are_of(reward, family, assets, generator):
    reference = GDSS.from_checkpoint(assets("gdss/gdss_zinc250k.pth"))
    value = pretrained.value(reference, reward, family)
    x = reference.initial(3, generator=generator)
    values = torch.stack([value(x, times(t, 3)) for t in (0, 399)])
    assert values.isfinite().all() and (values[0] != values[1]).all()
    assert not value.training and not any(each.requires_grad for each in value.parameters())


def test_the_card_of_the_values_is_true_of_them():
    card = (ROOT / "checkpoints/gdss_values.md").read_text()
    files = sorted((ROOT / "checkpoints").glob("gdss_*.safetensors"))
    assert {file.stem for file in files} == {f"gdss_{r}_{f}" for r in pretrained.VALUED for f in pretrained.FAMILIES}
    for file in files:
        assert f"Six GINs of {sum(each.numel() for each in read_network(file).parameters()):,} parameters" in card


def test_a_shipped_value_that_is_not_there_is_refused(assets):
    reference = GDSS.from_checkpoint(assets("gdss/gdss_zinc250k.pth"))
    with pytest.raises(ValueError, match="reward: expected one of QED, SA, parp1, got 'logP'"):
        pretrained.value(reference, "logP")
    with pytest.raises(ValueError, match="family: expected one of contrastive_twist, monte_carlo, got 'soft_q'"):
        pretrained.value(reference, "QED", "soft_q")
    with pytest.raises(
        ValueError, match="gdss_SA_contrastive_twist.safetensors: expected a checkpoint of this reference"
    ):
        pretrained.value(GDSS.from_checkpoint(assets("gdss/gdss_zinc250k.pth"), num_steps=100), "SA")


@pytest.mark.slow
def test_a_shipped_value_raises_the_reward(assets, generator):
    """Mean SA of 16 molecules by the twist, against 0.621 of the pretrained process (docs/leaderboards/gdss.md)."""
    reference = GDSS.from_checkpoint(assets("gdss/gdss_zinc250k.pth"))
    target = Target(SA(correct=True, num_workers=1, codec=GDSSCodec()), 0.0)
    value = pretrained.value(reference, "SA")
    rewards = svdd(reference, target, value, reference.num_candidates(10)).sample(16, generator=generator).rewards
    target.reward.scorer.close()
    assert rewards.mean() - 4 * rewards.std() / 16**0.5 > 0.621


def test_node_counts_are_those_of_the_data(assets):
    """All 132,040 molecules of QM9, and every tenth of ZINC-250k by the standard error of its share."""
    unchecked = Chem.SmilesParserParams()
    unchecked.sanitize = unchecked.removeHs = False
    with open(assets("molecules/qm9_smiles.csv"), newline="") as file:
        texts = [row["smiles"] for row in csv.DictReader(file)]
    sizes = Counter(Chem.MolFromSmiles(text, unchecked).GetNumHeavyAtoms() for text in texts)
    assert tuple(sizes[size] for size in range(1, 10)) == SIZES["QM9"]
    with gzip.open(assets("molecules/zinc250k_smiles.txt.gz"), "rt") as file:
        texts = [line.strip() for line in file if line.strip()]
    assert len(texts) == sum(SIZES["ZINC250k"]) == 249_455
    sizes = Counter(Chem.MolFromSmiles(text, unchecked).GetNumHeavyAtoms() for text in texts[::10])
    counts = torch.tensor([sizes[size] for size in range(1, 39)], dtype=torch.float64)
    expected = torch.tensor(SIZES["ZINC250k"], dtype=torch.float64) / 10
    assert ((counts - expected).abs() <= 4 * expected.sqrt() + 1).all()
    assert SIZES["ZINC250k"][:5] == (0,) * 5 and sizes[39] == 0


@pytest.mark.parametrize("name", ["gdss/gdss_zinc250k.pth", "gdss/gdss_qm9.pth"])
def test_molecules_are_drawn(name, assets, generator):
    reference = GDSS.from_checkpoint(assets(name), num_steps=40)
    samples = ancestral(reference).sample(6, generator=generator)
    states = samples.states[:, 0]
    assert torch.equal(states["adj"], states["adj"].transpose(1, 2))
    repaired = reference.decode(states, correct=True)
    assert all(molecule is not None for molecule in repaired)
    assert reference.describe(repaired)["validity"] == 1.0
    assert "svg" in reference.draw(repaired, [""] * 6)


def test_rewards_guide_and_choose(assets, generator):
    """SVDD by QED of x̂_T, and gradient guidance by a reward that torch differentiates, on the real networks."""
    reference = GDSS.from_checkpoint(assets("gdss/gdss_qm9.pth"), num_steps=10)
    reward = QED(correct=True, codec=GDSSCodec(), num_workers=1)
    target = Target(reward, 0.0)
    samples = svdd(reference, target, PosteriorMean(target), reference.num_candidates(4)).sample(4, generator=generator)
    plain = ancestral(reference, target).sample(32, generator=generator)
    assert samples.cost.reference_calls == 4 * (10 * 5 + 3)
    assert float(samples.rewards.mean()) > float(plain.rewards.mean())
    reward.scorer.close()
    bonds = Target(lambda x: x["adj"].sum(dim=(1, 2)) / 2, 1.0)
    value = PosteriorMean(bonds)
    guided = smc(reference, bonds, value, 4, proposal=Guided(value)).sample(2, generator=generator)
    assert bool(guided.log_normalizer.isfinite().all())
    adj = guided.states["adj"]
    assert torch.equal(adj, adj.transpose(2, 3))


def test_unknown_data_are_refused(assets, monkeypatch):
    monkeypatch.setattr("svlearn.domains.molecules.gdss.reference.SIZES", {"ZINC250k": SIZES["ZINC250k"]})
    with pytest.raises(ValueError, match="expected data of ZINC250k, got 'QM9'"):
        GDSS.from_checkpoint(assets("gdss/gdss_qm9.pth"))
