"""The references of GB1: the shipped one, the library's sites, a fixed order, and what a broken checkpoint is told."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from svlearn import checkpoints
from svlearn.domains.sequences.alphabet import PROTEIN
from svlearn.domains.sequences.gb1 import Fitness, LogFitness, library, load, read_measurements, save
from svlearn.domains.sequences.gb1.data import GB1Data
from svlearn.domains.sequences.gb1.export import CARD, held_out_bits, independent_bits
from svlearn.domains.sequences.gb1.network import SiteNetwork, SiteValue
from svlearn.domains.sequences.in_order import InOrder
from svlearn.domains.sequences.landscape import Landscape
from svlearn.loading import shipped
from svlearn.testing import check_reference, check_value
from svlearn.values import Learned

ROOT = Path(__file__).parents[3]
FILE = "proteins/gb1_four_site.csv"


@pytest.fixture(scope="module")
def reference():
    return load()


def test_the_shipped_reference_does_what_a_plug_in_must(reference):
    check_reference(reference)
    check_reference(InOrder(reference, (0, 1, 2, 3)))
    check_value(Learned(SiteValue()), reference)


def test_a_saved_network_is_loaded_again(tmp_path, reference):
    torch.manual_seed(0)
    network = SiteNetwork(width=8, depth=1)
    path = tmp_path / "other.safetensors"
    save(network, path, steps=3)
    x = PROTEIN.encode(["V_G_", "____"])
    torch.testing.assert_close(load(path).network(x, torch.zeros(2)), network(x, torch.zeros(2)))
    torch.testing.assert_close(
        SiteNetwork.from_weights(network.state_dict())(x, torch.zeros(2)), network(x, torch.zeros(2))
    )
    checkpoints.save(network, path, family="another")
    with pytest.raises(ValueError, match=r"other.safetensors: expected a reference of family 'gb1', got 'another'"):
        load(path)


def test_a_network_reads_soft_one_hots_as_tokens():
    torch.manual_seed(0)
    x = PROTEIN.encode(["V_G_", "FWAA"])
    soft = torch.nn.functional.one_hot(x, 21).float()
    for network in (SiteNetwork(8, 1), SiteValue(8, 1)):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        torch.testing.assert_close(network(soft, torch.zeros(2)), network(x, torch.zeros(2)))


def test_the_library_is_a_product_of_sites_and_its_landscape_a_plain_sum(assets):
    """Σ_x Π_i p_i(x_i) exp(r(x)/α), with no state graph; in any order and in a fixed one."""
    path = assets(FILE)
    measurements = read_measurements(path)
    reward, reference = LogFitness(path), library(measurements)
    counts = [
        torch.bincount(column, weights=measurements.input_counts.double(), minlength=20)
        for column in measurements.tokens.T
    ]
    first, second, third, fourth = (each / each.sum() for each in counts)
    law = torch.einsum("a,b,c,d->abcd", first, second, third, fourth).flatten()
    landscapes = Landscape(reference, reward), Landscape(InOrder(reference, (3, 0, 2, 1)), reward)
    assert [len(level) for level in landscapes[1].graph.levels] == [1, 20, 400, 8000, 160_000]
    for alpha in (0.3, 2.0):
        wanted = (law.log() + reward.table / alpha).logsumexp(0)
        for landscape in landscapes:
            torch.testing.assert_close(landscape.log_normalizer(alpha), wanted)
    mean = landscapes[0].mean_value()(reference.initial(1), torch.tensor([0]))
    torch.testing.assert_close(mean[0], law @ reward.table)


def test_the_card_is_that_of_the_figures():
    path = "benchmarks/results/gb1_reference.json"
    figures = json.loads((ROOT / path).read_text(encoding="utf-8"))
    assert CARD.format(**figures, results=path) == shipped("gb1.md").read_text(encoding="utf-8")
    record = checkpoints.read_record(shipped("gb1.safetensors"))
    assert {name: figures[name] for name in record.keys() & figures.keys()} == {
        name: record[name] for name in record.keys() & figures.keys()
    }


def test_the_shipped_reference_draws_functional_variants(assets, reference):
    """As its card says: most of what it draws is functional, of the library hardly anything is."""
    path = assets(FILE)
    fitness = Fitness(path)
    share = {}
    for name, each in (("shipped", reference), ("library", library(read_measurements(path)))):
        landscape = Landscape(each, fitness)
        assert sum(map(len, landscape.graph.levels)) == 21**4
        share[name] = float(landscape.law().exp()[landscape.rewards >= 0.1].sum())
    card = shipped("gb1.md").read_text(encoding="utf-8")
    assert f"| {share['shipped']:.1%} | {share['library']:.1%} |" in card
    assert share["shipped"] > 0.75 and share["library"] < 0.15


def test_the_shipped_reference_knows_more_of_held_out_variants_than_each_site_alone(assets, reference):
    data = GB1Data(str(assets(FILE)))
    data.setup()
    found = held_out_bits(reference.network, data.validation)
    assert found < independent_bits(data.train, data.validation) - 0.1 < math.log2(20) - 0.5
    assert f"| {found:.3f} |" in shipped("gb1.md").read_text(encoding="utf-8")


@torch.no_grad()
def test_held_out_bits_by_the_chain_rule_over_all_orders():
    torch.manual_seed(1)
    network, variants = SiteNetwork(8, 1), PROTEIN.encode(["VDGV", "FWAA", "ACDE"])
    total = 0.0
    for order in itertools.permutations(range(4)):
        x = torch.full_like(variants, PROTEIN.mask)
        for place in order:
            law = network(x, torch.zeros(3)).double().log_softmax(dim=2)[torch.arange(3), place]
            total -= float(law.gather(1, variants[:, place : place + 1]).mean())
            x[:, place] = variants[:, place]
    assert held_out_bits(network, variants) == pytest.approx(total / 24 / 4 / math.log(2))


def test_the_data_are_split_by_the_seed_and_hold_functional_variants(assets):
    path = str(assets(FILE))
    first, other = (GB1Data(path, seed=seed) for seed in (0, 1))
    for data in (first, other):
        data.setup()
    fitness = Fitness(path)
    assert bool((fitness(first.train) >= 0.1).all()) and len(first.train) + len(first.validation) == 11_522
    both = torch.cat([first.train, first.validation])
    assert len(both.unique(dim=0)) == len(both)
    assert len(torch.cat([first.train, other.train]).unique(dim=0)) > 1.4 * len(first.train)
    batch = next(iter(first.train_dataloader()))
    assert batch.shape == (512, 4) and next(iter(first.val_dataloader())).shape == (512, 4)
    with pytest.raises(ValueError, match=r"share: expected a batch of 512 to train on and some to hold out, got 0 of"):
        GB1Data(path, share=0.0).setup()


def test_an_order_is_each_place_once(reference):
    with pytest.raises(ValueError, match=r"order: expected each of the places 0 ... 3 once, got \[0, 1, 1, 3\]"):
        InOrder(reference, (0, 1, 1, 3))
    with pytest.raises(TypeError, match=r"reference: expected a MaskedDiffusion, got InOrder"):
        InOrder(InOrder(reference, (0, 1, 2, 3)), (0, 1, 2, 3))
