"""The score networks against the slow and plain ones of plain_gdss.py, and what they must be whatever the weights."""

import pytest
import torch
from gdss_files import (
    LARGE,
    PARAMS_ADJ,
    PARAMS_GMH,
    PARAMS_X,
    SMALL,
    molecules,
    random_content,
    raw,
    shuffled,
    write,
)
from plain_gdss import score_adj, score_x
from torch.func import functional_call

from svlearn.domains.molecules.gdss import packing
from svlearn.domains.molecules.gdss.checkpoint import read
from svlearn.domains.molecules.gdss.layers import AttentionLayer, AttentionShape
from svlearn.domains.molecules.gdss.networks import ScoreNetworks

FILES = ["gdss/gdss_zinc250k.pth", "gdss/gdss_zinc250k_v2.pth", "gdss/gdss_qm9.pth"]
TOLERANCES = {torch.float32: dict(rtol=3e-6, atol=1e-5), torch.float64: dict(rtol=0, atol=1e-10)}


def plain(content, x, adj, mask):
    """Both scores by the oracle, in the dtype of x."""
    scores = []
    for score, part in ((score_x, "x"), (score_adj, "adj")):
        weights = {name: each.to(x.dtype) for name, each in content[f"{part}_state_dict"].items()}
        scores.append(score(x, adj, mask, weights, content[f"params_{part}"]))
    return scores


def assert_as_plain(networks, content, x, adj, mask):
    for ours, theirs in zip(networks(x, adj, mask), plain(content, x, adj, mask)):
        torch.testing.assert_close(ours, theirs, **TOLERANCES[x.dtype])


def networks_of(path, dtype=torch.float64):
    checkpoint = read(path, dtype)
    return ScoreNetworks(checkpoint.network_x, checkpoint.network_adj)


@pytest.fixture(params=[PARAMS_X, PARAMS_GMH], ids=lambda params: params["model_type"])
def drawn(request, tmp_path):
    """Networks with random weights, of a shape that no file has, and what they were read from; float64."""
    content = random_content(request.param, PARAMS_ADJ)
    return networks_of(write(content, tmp_path / "drawn.pth")), content


def graphs(**options):
    return molecules([*SMALL, "F", "F"], num_nodes=9, num_features=5, **options)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("name", FILES)
@torch.no_grad()
def test_the_authors_weights_give_the_published_equations(name, noise, dtype, assets):
    content, networks = raw(assets(name)), networks_of(assets(name), dtype)
    params = content["params_adj"]
    smiles = SMALL if "qm9" in name else [*SMALL, *LARGE]
    batch = molecules(smiles, params["max_node_num"], params["max_feat_num"], dtype, noise)
    assert_as_plain(networks, content, *batch)
    assert_as_plain(networks, content, *(part[4:5] for part in batch))


@pytest.mark.parametrize("name", FILES[:2])
@torch.no_grad()
def test_every_size_and_every_padding(name, assets, generator):
    """1 to 38 nodes in one batch, and each size in a batch without padding."""
    content, networks = raw(assets(name)), networks_of(assets(name))
    upper = torch.randn(38, 38, 38, generator=generator, dtype=torch.float64).triu(1)
    x, adj = torch.randn(38, 38, 9, generator=generator, dtype=torch.float64), upper + upper.mT
    mask = torch.arange(38) <= torch.arange(38).unsqueeze(1)
    x, adj = x * mask.unsqueeze(2), adj * mask.unsqueeze(2) * mask.unsqueeze(1)
    expected = plain(content, x, adj, mask)
    for ours, theirs in zip(networks(x, adj, mask), expected):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    for size in range(1, 39):
        row = slice(size - 1, size)
        of_x, of_adj = networks(x[row, :size], adj[row, :size, :size], mask[row, :size])
        torch.testing.assert_close(of_x, expected[0][row, :size], rtol=0, atol=1e-10)
        torch.testing.assert_close(of_adj, expected[1][row, :size, :size], rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", [0.0, 1.0])
@torch.no_grad()
def test_any_shape_of_network(noise, drawn):
    """Other numbers of heads, layers, powers and channels than the files have."""
    assert_as_plain(*drawn, *graphs(noise=noise))


@torch.no_grad()
def test_each_network_alone(drawn):
    networks, _ = drawn
    batch = graphs(noise=0.5)
    of_x, of_adj = networks(*batch)
    torch.testing.assert_close(networks.network_x(*batch), of_x, rtol=0, atol=1e-12)
    torch.testing.assert_close(networks.network_adj(*batch), of_adj, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_order_of_the_nodes_does_not_matter(drawn):
    """Padding may stand anywhere; the scores move as the nodes do."""
    networks, _ = drawn
    batch = graphs(noise=0.5)
    *moved, orders = shuffled(*batch)
    expected = shuffled(*networks(*batch), batch[2])[:2]
    assert orders.sort(dim=1).values.equal(torch.arange(9).expand(len(orders), 9))
    for ours, theirs in zip(networks(*moved), expected):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@torch.no_grad()
def test_padding_and_the_diagonal_are_not_read(drawn):
    networks, _ = drawn
    x, adj, mask = graphs(noise=0.5)
    expected = networks(x, adj, mask)
    edges = mask.unsqueeze(2) & mask.unsqueeze(1)
    dirty = x.masked_fill(~mask.unsqueeze(2), torch.nan), adj.masked_fill(~edges, torch.nan)
    dirty[1].diagonal(dim1=1, dim2=2).fill_(7.0)
    for ours, theirs in zip(networks(*dirty, mask), expected):
        assert ours.equal(theirs)
    for ours, theirs in zip(networks(x, adj, mask.double()), expected):
        assert ours.equal(theirs)


@torch.no_grad()
def test_scores_are_symmetric_and_zero_where_nothing_is(drawn):
    networks, _ = drawn
    x, adj, mask = graphs(noise=0.5)
    before = x.clone(), adj.clone()
    of_x, of_adj = networks(x, adj, mask)
    assert of_adj.equal(of_adj.mT)
    exists = mask.unsqueeze(2) & mask.unsqueeze(1) & ~torch.eye(9, dtype=torch.bool)
    assert (of_adj != 0).equal(exists) and (of_x != 0).equal(mask.unsqueeze(2).expand_as(of_x))
    assert x.equal(before[0]) and adj.equal(before[1])


@torch.no_grad()
def test_an_adjacency_counts_by_its_symmetric_part(drawn, generator):
    networks, _ = drawn
    x, adj, mask = graphs(noise=0.5)
    skew = torch.randn(adj.shape, generator=generator, dtype=adj.dtype)
    for ours, theirs in zip(networks(x, adj + skew - skew.mT, mask), networks(x, adj, mask)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cells", [1, 100, 400])
@torch.no_grad()
def test_how_the_batch_is_cut_does_not_matter(cells, drawn, monkeypatch):
    networks, _ = drawn
    batch = graphs(noise=0.5)
    expected = networks(*batch)
    monkeypatch.setitem(packing.CELLS, "cpu", cells)
    for ours, theirs in zip(networks(*batch), expected):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@torch.no_grad()
def test_each_unordered_pair_of_real_nodes_is_evaluated_once(drawn):
    networks, _ = drawn
    rows = []
    networks.network_adj.final.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    batch = graphs()
    networks(*batch)
    sizes = batch[2].sum(dim=1)
    assert sum(rows) == (sizes * (sizes - 1) // 2).sum()


def test_gradients_are_those_of_the_equations(drawn, generator):
    """With respect to x and, each edge counted once, g_ij + g_ji, to adj, whose own gradient is symmetric."""
    networks, content = drawn
    x, adj, mask = graphs(noise=0.5)
    inputs = x.requires_grad_(), adj.requires_grad_()
    signs = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in inputs]
    ours, theirs = (
        torch.autograd.grad(sum((score * sign).sum() for score, sign in zip(scores, signs)), inputs)
        for scores in (networks(*inputs, mask), plain(content, *inputs, mask))
    )
    free = mask.unsqueeze(2) & mask.unsqueeze(1) & ~torch.eye(9, dtype=torch.bool)
    torch.testing.assert_close(ours[0], theirs[0] * mask.unsqueeze(2), rtol=0, atol=1e-9)
    torch.testing.assert_close(ours[1] + ours[1].mT, (theirs[1] + theirs[1].mT) * free, rtol=0, atol=1e-9)
    torch.testing.assert_close(ours[1], ours[1].mT, rtol=0, atol=1e-12)


def test_gradients_reach_the_weights(drawn, generator):
    """The derivative along a random direction in all weights, against a central difference."""
    networks, _ = drawn
    batch, weights = graphs(noise=0.5), dict(networks.named_parameters())
    signs = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in batch[:2]]
    along = {name: torch.randn(each.shape, generator=generator, dtype=each.dtype) for name, each in weights.items()}

    def value(step):
        moved = {name: each + step * along[name] for name, each in weights.items()}
        return sum((score * sign).sum() for score, sign in zip(functional_call(networks, moved, batch), signs))

    gradients = torch.autograd.grad(value(0.0), list(weights.values()), allow_unused=True)
    slope = sum((each * along[name]).sum() for name, each in zip(weights, gradients) if each is not None)
    with torch.no_grad():
        difference = (value(1e-7) - value(-1e-7)) / 2e-7
    torch.testing.assert_close(slope, difference, rtol=1e-6, atol=0)


@torch.no_grad()
def test_batches_of_nothing(drawn):
    networks, _ = drawn
    x, adj, mask = graphs(noise=0.5)
    for rows, kept in ((0, mask[:0]), (3, torch.zeros(3, 9, dtype=torch.bool))):
        of_x, of_adj = networks(x[:rows], adj[:rows], kept)
        assert of_x.equal(torch.zeros_like(x[:rows])) and of_adj.equal(torch.zeros_like(adj[:rows]))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda x, adj, mask: (x[..., :3], adj, mask), r"x: expected shape \(B, N, 5\), got \(11, 9, 3\)"),
        (lambda x, adj, mask: (x, adj[:, :4], mask), r"adj: expected shape \(11, 9, 9\), got \(11, 4, 9\)"),
        (lambda x, adj, mask: (x, adj, mask[:, :4]), r"mask: expected shape \(11, 9\), got \(11, 4\)"),
    ],
)
def test_wrong_shapes(cut, message, drawn):
    networks, _ = drawn
    batch = cut(*graphs())
    for network in (networks, networks.network_x, networks.network_adj):
        with pytest.raises(ValueError, match=message):
            network(*batch)


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="heads: expected a divisor of the width 6, got 4"):
        AttentionLayer(5, 6, (2, 3), AttentionShape(width=6, heads=4, depth=2))
