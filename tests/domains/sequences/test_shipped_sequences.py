"""The shipped references of sequences: what they draw, what they cost, and that their cards say what was measured."""

import json
from pathlib import Path

import pytest
import torch

from svlearn.domains.sequences import pretrained
from svlearn.domains.sequences.data import SOURCES, tokens
from svlearn.domains.sequences.markov_model import MarkovModel
from svlearn.domains.sequences.metrics import bits_per_letter
from svlearn.inference.samplers import ancestral
from svlearn.loading import shipped
from svlearn.randomness import seeded

ROOT = Path(__file__).parents[3]
NAMES = ["utr5", "yeast-promoters", "hepg2"]


def figures(name):
    return json.loads((ROOT / f"benchmarks/results/sequences_{name.replace('-', '_')}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_it_draws_sequences_between_its_fixed_letters(name):
    reference, source = pretrained.load(name), SOURCES[name]
    assert shipped(f"{name}.safetensors").stat().st_size < 3e6
    x = ancestral(reference.with_steps(8, "cosine")).sample(2, generator=seeded("cpu", 0)).states[:, 0]
    for text in reference.decode(x):
        assert len(text) == source.length and set(text) <= set("ACGT")
        assert source.fixed is None or all(letter in ("_", own) for letter, own in zip(source.fixed, text, strict=True))


def test_steps_that_unmask_nothing_cost_nothing():
    """Of 128 steps for 50 letters, log-linear, 128 (1 - (127/128)^50) = 41.5 unmask one on average."""
    reference, number = pretrained.load("utr5").with_steps(128, "log_linear"), 32
    cost = ancestral(reference).sample(number, generator=seeded("cpu", 0)).cost
    assert cost.reference_calls / number == pytest.approx(41.5, abs=2)


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_what_was_measured(name):
    card, measured = shipped(f"{name}.md").read_text(), figures(name)
    for figure, digits in (("bits", 4), ("bits_error", 4), ("markov_bits", 4), ("correlation", 3), ("rate", 1)):
        assert f"{measured[figure]:.{digits}f}" in card
    assert measured["bits"] < measured["markov_bits"] + 2 * measured["bits_error"]
    assert measured["correlation"] > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_its_bits_are_those_of_the_card(name, assets):
    """On some of the held-out sequences, within what these few differ by; the baseline exactly."""
    assets(SOURCES[name].file)
    train, held_out = tokens(name)
    reference, measured = pretrained.load(name), figures(name)
    assert (len(train), len(held_out)) == (measured["num_training"], measured["num_held_out"])
    places = (reference.fixed == reference.alphabet.mask).nonzero().flatten().tolist()
    assert MarkovModel(train, 4, 3, places).bits(held_out) == pytest.approx(measured["markov_bits"])
    few = held_out[torch.linspace(0, len(held_out) - 1, 40).long()]
    bits, error = bits_per_letter(reference, few, 4, seed=1)
    assert bits == pytest.approx(measured["bits"], abs=4 * error)
