"""The molecular reference and its networks: time, symmetry, gradients, saving and loading."""

import pytest
import torch
from rdkit import Chem

from svlearn import checkpoints
from svlearn.domains.molecules import qm9
from svlearn.domains.molecules.codec import encode
from svlearn.domains.molecules.gin import GraphIsomorphismNetwork
from svlearn.domains.molecules.graph import MASKED_ATOM, MASKED_BOND, pair_mask, permuted
from svlearn.domains.molecules.masked_diffusion import MaskedGraphDiffusion
from svlearn.domains.molecules.masking import hide
from svlearn.domains.molecules.pretraining import denoising_loss
from svlearn.domains.molecules.transformer import GraphTransformer
from svlearn.inference.samplers import ancestral, smc, svdd
from svlearn.loading import load
from svlearn.randomness import seeded
from svlearn.rollouts import roll_back, roll_out
from svlearn.targets import Target
from svlearn.values import Learned, PosteriorMean

SMILES = ["CCO", "C1CC1", "CC(=O)N", "c1ccoc1", "N#CC(F)C=O", "CN1CCOCC1=O", "O", "CC(C)(C)C"]


@pytest.fixture
def reference():
    return MaskedGraphDiffusion(GraphTransformer(width=16, pair_width=16, depth=2), torch.arange(1.0, 10.0)).eval()


@pytest.fixture
def molecules():
    return torch.cat([encode(Chem.MolFromSmiles(text), 9) for text in SMILES])


def test_every_state_of_a_rollout_holds_as_much_as_its_time_says(reference):
    states = roll_out(reference, 32, generator=seeded("cpu", 0))["states"]
    size = states["mask"][:, 0].sum(1)
    for t in range(46):
        x = states[:, t]
        atoms = ((x["atoms"] != MASKED_ATOM) & x["mask"]).sum(1)
        bonds = ((x["bonds"] != MASKED_BOND) & pair_mask(x["mask"])).sum(1)
        assert torch.equal(atoms, size * min(t, 9) // 9)
        assert torch.equal(bonds, size * (size - 1) // 2 * max(t - 9, 0) // 36)


def test_sizes_follow_the_weights_or_the_condition(reference):
    drawn = reference.initial(20_000, generator=seeded("cpu", 0))["mask"].sum(1)
    p = torch.arange(1.0, 10.0) / 45
    frequencies = torch.bincount(drawn, minlength=10)[1:] / 20_000
    assert ((frequencies - p).abs() < 4 * (p * (1 - p) / 20_000).sqrt()).all()
    sizes = ancestral(reference).sample(3, condition=torch.tensor([1, 4, 9])).states["mask"].sum(-1).flatten()
    assert sizes.tolist() == [1, 4, 9]
    with pytest.raises(ValueError, match="condition: expected 1 to 9 atoms"):
        reference.initial(1, condition=[10])


@pytest.mark.parametrize("t", [3, 20, 44])
def test_what_is_further_than_its_time_stays(reference, molecules, t):
    """A step decides no more places than are open: finished molecules, nine atoms among them, are left as they are."""
    law = reference(molecules, torch.full((len(molecules),), t)).transition
    drawn = law.sample(generator=seeded("cpu", 0))
    assert torch.equal(drawn["atoms"], molecules["atoms"]) and torch.equal(drawn["bonds"], molecules["bonds"])
    assert (law.log_prob(drawn) == 0).all()


def test_the_prediction_keeps_what_is_decided_and_decides_the_rest(reference, molecules):
    t = torch.full((len(molecules),), 20)
    hidden = hide(molecules, t, generator=seeded("cpu", 0))
    prediction = reference(hidden, t)
    for finished in (prediction.clean, prediction.clean_law.sample(generator=seeded("cpu", 1))):
        for name, token in (("atoms", MASKED_ATOM), ("bonds", MASKED_BOND)):
            decided = hidden[name] != token
            assert torch.equal(finished[name][decided], molecules[name][decided])
            assert (finished[name] < token).all()


@pytest.mark.parametrize("kind", ["transformer", "gin"])
def test_networks_do_not_see_how_atoms_are_numbered(kind, molecules):
    t = torch.full((len(molecules),), 25)
    hidden = hide(molecules, t, generator=seeded("cpu", 0))
    order = torch.rand(hidden["mask"].shape, generator=seeded("cpu", 1)).argsort(1)
    if kind == "gin":
        network = GraphIsomorphismNetwork(45, width=16, depth=2)
        torch.testing.assert_close(network(permuted(hidden, order), t), network(hidden, t))
        return
    network = GraphTransformer(width=16, pair_width=16, depth=2)
    atoms, bonds = network(hidden)
    atoms_after, bonds_after = network(permuted(hidden, order))
    shuffled = permuted(hidden, order)
    real = shuffled["mask"].unsqueeze(-1)
    torch.testing.assert_close(atoms_after * real, atoms.gather(1, order.unsqueeze(-1).expand_as(atoms)) * real)
    rank = bonds.sum(-1) * pair_mask(hidden["mask"])  # bonds as sets: numbering only reorders them
    after = bonds_after.sum(-1) * pair_mask(shuffled["mask"])
    torch.testing.assert_close(after.sort(1).values, rank.sort(1).values)


@pytest.mark.parametrize("change", ["bond", "mask of a bond", "time"])
def test_the_value_network_reads_bonds_masks_and_time(change, molecules):
    network = GraphIsomorphismNetwork(45, width=16, depth=2)
    one, other, t = molecules[3:4], molecules[3:4].clone(), torch.tensor([20])
    if change == "bond":
        other["bonds"][0, 0] = 3
    elif change == "mask of a bond":
        other["bonds"][0, 0] = MASKED_BOND
    later = t + 1 if change == "time" else t
    assert (network(one, t) - network(other, later)).abs().item() > 1e-5


def test_the_denoising_loss_by_hand(molecules):
    clean = molecules[:1]
    hidden = clean.clone()
    hidden["atoms"][0, :2] = MASKED_ATOM
    hidden["bonds"][0, 0] = MASKED_BOND
    atom_logits, bond_logits = torch.zeros(1, 9, 4), torch.zeros(1, 36, 4)
    atom_logits[0, 0, clean["atoms"][0, 0]] = 1.0
    first = (torch.tensor(torch.e) + 3).log() - 1
    expected = (first + torch.tensor(4.0).log()) / 2 + torch.tensor(4.0).log()
    torch.testing.assert_close(denoising_loss(atom_logits, bond_logits, hidden, clean), expected[None])


def test_rollouts_by_noising_end_where_they_should(reference, molecules):
    trajectories = roll_back(reference, molecules, generator=seeded("cpu", 0))
    states = trajectories["states"]
    assert torch.equal(states[:, -1]["bonds"], molecules["bonds"])
    assert (states[:, 0]["atoms"][molecules["mask"]] == MASKED_ATOM).all()
    t = torch.full((len(molecules),), 30)
    assert torch.equal(
        ((states[:, 30]["bonds"] != MASKED_BOND) & pair_mask(molecules["mask"])).sum(1),
        ((hide(molecules, t)["bonds"] != MASKED_BOND) & pair_mask(molecules["mask"])).sum(1),
    )


def test_samplers_run_on_graphs(reference):
    target = Target(lambda x: (x["atoms"] == 2).sum(1).float(), alpha=0.5)  # oxygen atoms
    value = Learned(GraphIsomorphismNetwork(45, width=8, depth=1))
    plain = ancestral(reference, target).sample(64, generator=seeded("cpu", 0)).rewards.mean()
    for sampler in (svdd(reference, target, PosteriorMean(target), 4), svdd(reference, target, value, 2)):
        samples = sampler.sample(16, generator=seeded("cpu", 0), max_batch=23)
        assert samples.states.batch_size == (16, 1)
    guided = smc(reference, target, PosteriorMean(target), 6).sample(32, generator=seeded("cpu", 0))
    assert (guided.rewards * guided.log_weights.exp()).sum(1).mean() > plain + 0.5


def test_a_saved_reference_loads_by_path_with_the_same_law(tmp_path, molecules):
    network = GraphTransformer(width=16, pair_width=16, depth=2)
    saved = qm9.save(network, molecules["mask"].sum(1), tmp_path / "small.safetensors", steps=1)
    loaded = load(tmp_path / "small.safetensors")
    t = torch.full((len(molecules),), 12)
    hidden = hide(molecules, t, generator=seeded("cpu", 0))
    a, b = saved(hidden, t), loaded(hidden, t)
    for name in ("atoms", "bonds"):
        torch.testing.assert_close(a.transition.laws[name].log_probs, b.transition.laws[name].log_probs)
    assert loaded.size_weights.tolist() == saved.size_weights.tolist()
    assert checkpoints.read_record(tmp_path / "small.safetensors")["steps"] == 1


@pytest.mark.slow
def test_the_shipped_reference_makes_valid_molecules():
    reference = load("qm9")
    samples = ancestral(reference).sample(300, generator=seeded("cpu", 7), max_batch=256)
    figures = reference.describe(reference.decode(samples.states[:, 0]))
    assert figures["validity"] >= 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5
    assert figures["connected"] >= 0.90 - 3 * (0.90 * 0.10 / 300) ** 0.5
    assert figures["uniqueness"] >= 0.95
