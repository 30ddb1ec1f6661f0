"""How positive a text sounds: by VADER, as its authors publish it, and by the shipped classifier, as its card says."""

import json
import math
from pathlib import Path

import pytest
import torch
from text_toys import Letters, Parts, written

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language import sst2
from svlearn.domains.language.rewards import OnTexts, SentimentClassifier, Vader
from svlearn.domains.language.rewards.sentiment import FILE
from svlearn.domains.language.sentiment_export import CARD, CARD_FILE, export, fitted, measured
from svlearn.domains.language.tfidf import TfidfClassifier
from svlearn.identity import identity
from svlearn.recipes import Context, build

ROOT = Path(__file__).parents[4]
RESULTS = "benchmarks/results/sentiment.json"


def test_vader_says_what_its_authors_publish():
    pytest.importorskip("vaderSentiment", reason="needs vaderSentiment: the extra `language`")
    published = {  # of the library's README
        "VADER is smart, handsome, and funny.": 0.8316,
        "VADER is VERY SMART, handsome, and FUNNY!!!": 0.9342,
        "VADER is not smart, handsome, nor funny.": -0.7424,
        "The book was good.": 0.4404,
        "At least it isn't a horrible book.": 0.431,
        "Today SUX!": -0.5461,
        "": 0.0,
    }
    scores = Vader()(list(published))
    assert scores.tolist() == pytest.approx(list(published.values()), abs=1e-6)
    text = Parts("Today ", "SUX!")
    assert Vader()([text]).tolist() == pytest.approx([-0.5461], abs=1e-6)
    assert Vader()([]).shape == (0,) and Vader() == Vader()


def test_sentiment_is_a_reward_of_states():
    pytest.importorskip("vaderSentiment", reason="needs vaderSentiment: the extra `language`")
    reference = Letters()
    target = sv.Target({OnTexts(reference, {Vader(): -1.0, SentimentClassifier(): 0.5}): 2.0}, 0.1)
    alone = SentimentClassifier()(["bb a"])
    assert torch.allclose(target(written("bb a")), alone)  # no word of VADER's


def test_the_log_probabilities_of_both_labels_are_of_one_law():
    texts = ["a fine film", "a sad, dull story", "", "loved it, loved it"]
    positive, negative = (SentimentClassifier(label)(texts) for label in ("positive", "negative"))
    assert torch.allclose(positive.exp() + negative.exp(), torch.ones(4), atol=1e-6)
    assert positive[0] > math.log(0.5) > positive[1] and positive[3] > positive[2]


def test_the_shipped_classifier_does_as_its_card_says(assets):
    for part in sst2.PARTS:
        assets(f"language/sst2_{part}.tsv")
    figures = json.loads((ROOT / RESULTS).read_text())
    assert figures["accuracy"] >= 0.813
    network = SentimentClassifier().network
    again = measured(network, *sst2.read("test"))
    assert again["accuracy"] == pytest.approx(figures["accuracy"], abs=1e-3)
    assert again["log_loss"] == pytest.approx(figures["log_loss"], abs=1e-3)
    anew = fitted()
    texts = sst2.read("test")[0]
    assert anew.places == network.places and (anew(texts) - network(texts)).abs().max() < 0.05


def test_the_card_is_that_of_the_figures():
    figures = json.loads((ROOT / RESULTS).read_text())
    assert (ROOT / "checkpoints" / CARD_FILE).read_text() == CARD.format(**figures, results=RESULTS)
    assert f"{figures['accuracy']:.1%}".replace("%", " %") in SentimentClassifier.__doc__
    assert (ROOT / "checkpoints" / FILE).stat().st_size < 1e6


def test_an_export_writes_weights_card_and_figures(tmp_path, assets):
    for part in sst2.PARTS:
        assets(f"language/sst2_{part}.tsv")
    card = export(tmp_path, tmp_path / "figures.json")
    assert card == (tmp_path / CARD_FILE).read_text() and "7,792" in card
    assert json.loads((tmp_path / "figures.json").read_text())["num_held_out"] == 1821
    reward = SentimentClassifier("negative", tmp_path / FILE)
    assert (reward(["a sad film"]) - SentimentClassifier("negative")(["a sad film"])).abs().max() < 0.05


def test_they_are_built_again(tmp_path):
    reference = Letters()
    path = TfidfClassifier.fit(["b a", "c", "b b"], [1, 0, 1]).save(tmp_path / "own.safetensors")
    x = written("bb a", "b bb", "cccc")
    for reward in (SentimentClassifier("negative"), SentimentClassifier("positive", path)):
        first = OnTexts(reference, reward)
        recipe = json.loads(json.dumps(describe(first, reference, "reward")))
        again = build(recipe, Context(defaults={"reference": reference}), "reward")
        assert torch.equal(again(x), first(x)) and again.name == first.name
    recipe = describe(OnTexts(reference, Vader()), reference, "reward")
    assert build(recipe, Context(defaults={"reference": reference}), "reward").reward == Vader()


def test_those_that_differ_have_other_identities(tmp_path):
    one, other = (TfidfClassifier(words) for words in (["a", "b"], ["b", "a"]))
    paths = [each.save(tmp_path / f"{k}.safetensors") for k, each in enumerate((one, other))]
    several = [SentimentClassifier(path=path) for path in paths]
    several += [SentimentClassifier(), SentimentClassifier("negative"), Vader()]
    assert len({*map(identity, several)}) == len(several)


def test_other_labels_and_tokens_are_refused():
    with pytest.raises(ValueError, match="label: expected one of negative, positive, got 'neutral'"):
        SentimentClassifier("neutral")
    with pytest.raises(TypeError, match=r"SentimentClassifier expects a list of texts, got states of tokens"):
        SentimentClassifier()(written("aaaa"))
    with pytest.raises(TypeError, match=r"texts\[0\]: Vader expects a text"):
        Vader()([[1, 2]])
    with pytest.raises(FileNotFoundError):
        SentimentClassifier(path="none.safetensors")
