"""The published sampler of GDSS and its network: held to what the authors' code does, and to plain code."""

import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.nn import GINConv, global_mean_pool

sys.path.insert(0, str(Path(__file__).parents[1] / "domains/molecules/gdss"))
from gdss_files import PARAMS_ADJ, PARAMS_GMH, PARAMS_X, config, random_content, shapes, write
from plain_gdss import score_adj, score_x

from benchmarks.gdss_published import sampler, training
from benchmarks.gdss_published.network import DEPTH, PublishedNetwork
from benchmarks.gdss_published.scores import masked_scores
from svlearn.domains.molecules.gdss import GDSS, read
from svlearn.domains.molecules.gdss.networks import ScoreNetworks

# x and adj summed over each node's row, by pc_sampler_controlled of hyanan16/SVDD-molecule (455e4d4) on this very case:
# these weights, VP(0.1, 1) and VE(0.1, 1), 5 levels, M = 2, sines for noise, in float64
AUTHORS_X = [
    [14.75692, 12.83779, 12.62357, 13.45591, 13.43709, 0.0, 0.0, 0.0, 0.0],
    [12.20893, 13.65227, 13.46511, 12.75119, 12.32900, 12.63497, 13.21901, 0.0, 0.0],
    [13.99606, 12.22698, 12.98307, 14.05606, 11.42119, 14.37775, 12.33919, 0.0, 0.0],
]
AUTHORS_ADJ = [
    [3.31241, 6.08917, 4.96151, 5.23916, 5.37066, 0.0, 0.0, 0.0, 0.0],
    [8.63068, 8.87100, 10.25071, 7.23641, 8.38869, 9.13288, 7.63791, 0.0, 0.0],
    [10.21698, 6.72526, 8.63986, 7.97730, 7.79470, 9.03935, 7.57170, 0.0, 0.0],
]

MASK = torch.arange(9) < torch.tensor([[3], [5], [7]])


def weights(params):
    """0.4 sin(k) as the k-th number of each weight, in the authors' names; float32, as files hold them."""
    tensors = OrderedDict()
    for place, (name, shape) in enumerate(shapes(params).items()):
        count = torch.Size(shape).numel()
        tensors[name] = (0.4 * torch.sin(torch.arange(count).double() + place)).view(shape).float()
    return tensors


class Waves:
    """In the place of standard normal numbers: sines, of a phase of their own in each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, shape):
        self.calls += 1
        count = torch.Size(shape).numel()
        return (1.4 * torch.sin(1.7 * torch.arange(count).double() ** 1.1 + self.calls)).view(shape)


def score(x, adj):
    """Larger for fuller graphs."""
    return x.square().sum(dim=(1, 2)) + (adj.sin()).sum(dim=(1, 2))


@pytest.fixture
def process(tmp_path):
    content = dict(model_config=config(), params_x=PARAMS_X, params_adj=PARAMS_ADJ)
    content |= {"x_state_dict": weights(PARAMS_X), "adj_state_dict": weights(PARAMS_ADJ)}
    return GDSS.from_checkpoint(write(content, tmp_path / "toy.pth"), num_steps=5).double()


@pytest.fixture
def overfull():
    """Graphs that hold more than their masks say, symmetric; float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 9, 5, generator=generator, dtype=torch.float64)
    upper = torch.randn(4, 9, 9, generator=generator, dtype=torch.float64).triu(1)
    mask = torch.arange(9) < torch.tensor([[2], [4], [9], [1]])
    held = torch.arange(9) < torch.tensor([[6], [3], [9], [8]])
    both = held.unsqueeze(2) & held.unsqueeze(1)
    return x * held.unsqueeze(2), (upper + upper.mT) * both, mask


def select(process, faulty, mask=MASK, number=2):
    return sampler.select(process, score, mask, number, Waves(), faulty)


def test_masks_by_hand():
    """Of two molecules a and b with three candidates each, aaabbb, the published masks are ababab."""
    assert sampler.owners_of_masks(2, 3, faulty=True).tolist() == [0, 1, 0, 1, 0, 1]
    assert sampler.owners_of_masks(2, 3, faulty=False).tolist() == [0, 0, 0, 1, 1, 1]


def test_it_does_what_the_authors_code_does(process):
    x, adj = select(process, faulty=True)
    torch.testing.assert_close(x.sum(dim=2), torch.tensor(AUTHORS_X, dtype=torch.float64), rtol=0, atol=2e-4)
    torch.testing.assert_close(adj.sum(dim=2), torch.tensor(AUTHORS_ADJ, dtype=torch.float64), rtol=0, atol=2e-4)


def test_the_fault_grows_atoms_and_its_repair_does_not(process):
    sizes = {faulty: (select(process, faulty)[0] != 0).any(dim=2).sum(dim=1).tolist() for faulty in (True, False)}
    assert sizes[False] == [3, 5, 7] and sizes[True] == [5, 7, 7]


def test_a_molecule_alone_has_no_other_masks(process):
    for one, other in zip(select(process, True, MASK[1:2]), select(process, False, MASK[1:2])):
        assert torch.equal(one, other) and one.any()


def test_a_plain_sample_is_that_of_one_candidate(process):
    *_, last = sampler.plain(process, MASK, Waves())
    for one, other in zip(select(process, False, number=1), (last.mean_x, last.mean_adj)):
        assert torch.equal(one, other)


def test_scores_are_those_of_plain_networks_outside_the_mask_too(tmp_path, overfull):
    content = random_content(PARAMS_X, PARAMS_ADJ)
    checkpoint = read(write(content, tmp_path / "drawn.pth"), torch.float64)
    networks = ScoreNetworks(checkpoint.network_x, checkpoint.network_adj)
    parts = masked_scores(networks, *overfull)
    for own, oracle, part in zip(parts, (score_x, score_adj), ("x", "adj")):
        named = {name: each.double() for name, each in content[f"{part}_state_dict"].items()}
        torch.testing.assert_close(own, oracle(*overfull, named, content[f"params_{part}"]), rtol=0, atol=1e-10)
    cut = networks(*overfull)  # which reads nothing outside, and so says something else
    assert all((one - other).abs().max() > 0.01 for one, other in zip(parts, cut))


def test_features_of_attention_are_refused(tmp_path, overfull):
    checkpoint = read(write(random_content(PARAMS_GMH, PARAMS_ADJ), tmp_path / "other.pth"), torch.float64)
    with pytest.raises(TypeError, match="networks: expected features of convolutions, got AttentionScoreX"):
        masked_scores(ScoreNetworks(checkpoint.network_x, checkpoint.network_adj), *overfull)


def test_a_process_without_a_corrector_is_refused(process):
    process.corrector = None
    with pytest.raises(ValueError, match="process: expected one with a corrector, got one without"):
        select(process, faulty=True)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = PublishedNetwork(num_features=5, width=8).double()
    for norm in (each for each in made.modules() if isinstance(each, nn.BatchNorm1d)):
        norm.running_mean += 0.1
        norm.running_var *= 1.7
    return made.eval()


def test_the_network_is_a_gin_of_the_mean_over_all_places(network, overfull):
    """GINConv of torch_geometric on the pairs that are not 0, graph by graph."""
    x, adj, _ = overfull
    for row in range(len(x)):
        nodes, edges = x[row], adj[row].nonzero().T
        for place, (update, norm) in enumerate(zip(network.updates, network.norms)):
            nodes = norm(GINConv(update)(nodes, edges))
            nodes = nodes.relu() if place < DEPTH - 1 else nodes
        expected = network.head(global_mean_pool(nodes, torch.zeros(len(nodes), dtype=torch.long))).squeeze()
        torch.testing.assert_close(network(x, adj)[row], expected, rtol=0, atol=1e-12)


def test_the_network_sees_no_bond(network, overfull):
    """Every edge weight may change, and it says the same, as long as none becomes 0."""
    x, adj, _ = overfull
    assert torch.equal(network(x, adj), network(x, torch.where(adj != 0, 3.0, 0.0)))
    assert not torch.allclose(network(x, adj), network(x, torch.zeros_like(adj)))


@pytest.fixture
def data(process, monkeypatch):
    """Six samples at all five levels; the reward is the mean feature, for molecules have no part in this."""
    monkeypatch.setattr(training, "NUM_SAMPLES", 6)
    monkeypatch.setattr(training, "EVERY", 1)
    monkeypatch.setattr(training, "HELD_OUT", 2)
    monkeypatch.setattr(training, "reward_of", lambda x, adj: x.mean(dim=(1, 2)))
    return training.examples(process.float())


def test_what_each_training_regresses_on(data):
    assert data["rewd"].shape == (5, 6)
    torch.testing.assert_close(data["rewd"], data["x"].mean(dim=(2, 3)))
    torch.testing.assert_close(data["PM"], data["clean_x"].mean(dim=(2, 3)))
    torch.testing.assert_close(data["ori"], data["rewd"][-1:].expand(5, 6))
    assert not torch.allclose(data["rewd"][0], data["PM"][0]) and torch.equal(data["x"][-1], data["clean_x"][-1])


def test_each_training_is_shown_its_own_graphs_and_never_what_it_is_judged_by(data):
    for name in training.TRAININGS:
        shown, own = next(training.batches(data, name, torch.Generator().manual_seed(0))), data[name][:, 2:]
        x = data["clean_x" if name == "PM" else "x"][:, 2:]
        assert all((x == each).all(dim=(2, 3)).any() for each in shown[0])
        assert torch.isin(shown[2], own).all()


def test_a_training_learns_what_it_is_asked(data, monkeypatch):
    monkeypatch.setattr(training, "NUM_STEPS", 60)
    monkeypatch.setattr(training, "PublishedNetwork", lambda: PublishedNetwork(num_features=5, width=16))
    first, second = (training.fitted(data, "rewd") for _ in range(2))
    assert training.judged(first, data, "rewd")["own"] > 0.9
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters()))
