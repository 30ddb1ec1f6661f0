"""A regression on words: against scikit-learn's own pipeline, numbers worked out by hand, and its file."""

import math

import pytest
import torch

from svlearn import checkpoints
from svlearn.domains.language import sst2, tfidf
from svlearn.domains.language.sentiment_export import INVERSE_PENALTY
from svlearn.domains.language.tfidf import TfidfClassifier

TEXTS = ["a good film", "good good fun", "a bad film", "bad, a BAD idea", "it_is 3 times bad", "good"]
LABELS = [1, 1, 0, 0, 0, 1]


def test_the_log_odds_are_those_of_scikit_learn():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    others = ["A good idea", "nothing of it", "", "Bad bad film; good fun", "naïve film_s"]
    pipeline = make_pipeline(TfidfVectorizer(token_pattern=r"\b\w+\b"), LogisticRegression(C=3.0))
    wanted = torch.from_numpy(pipeline.fit(TEXTS, LABELS).decision_function(TEXTS + others))
    network = TfidfClassifier.fit(TEXTS, LABELS, 3.0)
    assert (network(TEXTS + others) - wanted).abs().max() < 1e-5
    assert (network(TEXTS)[torch.tensor(LABELS) == 1] > 0).all() and (
        network(TEXTS)[torch.tensor(LABELS) == 0] < 0
    ).all()


def test_the_log_odds_by_hand():
    network = TfidfClassifier(["bad", "good"]).double()
    network.idf.copy_(torch.tensor([1.5, 2.0]))
    network.slopes.copy_(torch.tensor([-1.0, 0.5]))
    network.location.fill_(0.25)
    # bad twice and good once: u = (3, 2), a · u/|u| = (-3 + 1)/sqrt(13)
    wanted = [0.25 - 2 / math.sqrt(13), 0.25 + 0.5, 0.25, 0.25]
    assert network(["Bad: good is bad", "good good", "neither", ""]).tolist() == pytest.approx(wanted, abs=1e-12)
    assert network([]).shape == (0,)


def test_the_inverse_frequencies_by_hand():
    network = TfidfClassifier.fit(TEXTS, LABELS)
    assert list(network.places) == ["3", "a", "bad", "film", "fun", "good", "idea", "it_is", "times"]
    in_texts = torch.tensor([1, 3, 3, 2, 1, 3, 1, 1, 1])
    assert torch.allclose(network.idf, 1 + (7 / (1 + in_texts)).log())


def test_a_file_holds_words_and_weights(tmp_path):
    network = TfidfClassifier.fit(TEXTS, LABELS)
    path = network.save(tmp_path / "bad.safetensors", num_training=6)
    again = tfidf.load(path)
    assert torch.equal(again(TEXTS), network(TEXTS)) and again.places == network.places
    assert checkpoints.read_record(path)["num_training"] == 6


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        tfidf.load(tmp_path / "none.safetensors")
    path = checkpoints.save(TfidfClassifier(["a"]), tmp_path / "a.safetensors", family="another")
    with pytest.raises(ValueError, match="expected a checkpoint of family tfidf-classifier, got 'another'"):
        tfidf.load(path)
    path = checkpoints.save(TfidfClassifier(["a"]), tmp_path / "b.safetensors", family=tfidf.FAMILY, words=["a", "b"])
    with pytest.raises(ValueError, match="the weights do not fit TfidfClassifier"):
        tfidf.load(path)
    for words in (["a", 1], "a"):
        path = checkpoints.save(TfidfClassifier(["a"]), tmp_path / "c.safetensors", family=tfidf.FAMILY, words=words)
        with pytest.raises(ValueError, match="expected a record"):
            tfidf.load(path)


@pytest.mark.parametrize(
    ("texts", "labels", "error", "words"),
    [
        (TEXTS, LABELS[:-1], ValueError, "expected 0 or 1 for each of 6 texts, and both of them, got 5, 2 of them 1"),
        (TEXTS, [1] * 6, ValueError, "and both of them, got 6, 6 of them 1"),
        (TEXTS, [0, 1, 2, 0, 0, 0], ValueError, r"labels: expected integers of 0 ... 1"),
        ("a text", [1], TypeError, "texts: expected a list of names, got str"),
    ],
)
def test_what_cannot_be_fitted_is_refused(texts, labels, error, words):
    with pytest.raises(error, match=words):
        TfidfClassifier.fit(texts, labels)


def test_words_are_different_ones():
    with pytest.raises(ValueError, match="words: expected different ones, got 1 of them again"):
        TfidfClassifier(["a", "b", "a"])
    with pytest.raises(ValueError, match="inverse_penalty: expected a finite number and above 0|inverse_penalty: exp"):
        TfidfClassifier.fit(TEXTS, LABELS, 0.0)


def test_the_table_has_the_published_numbers_of_sentences(assets):
    for part, number, positive in (("train", 6920, 3610), ("dev", 872, 444), ("test", 1821, 909)):
        assets(f"language/sst2_{part}.tsv")
        sentences, labels = sst2.read(part)
        assert (len(sentences), sum(labels)) == (number, positive) and all("\t" not in each for each in sentences)


def test_another_table_is_refused(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("a fine film\t1\nno label\n")
    with pytest.raises(ValueError, match="table.tsv: expected a table of SST-2, .*, got 'no label' in line 2"):
        sst2.read(path=path)
    path.write_text("a fine film\t2\n")
    with pytest.raises(ValueError, match="got 'a fine film.t2' in line 1"):
        sst2.read("dev", path)
    path.write_text("a fine film\t1\nwith \u2028 and \x1c inside\t0\n")
    assert sst2.read(path=path) == (["a fine film", "with \u2028 and \x1c inside"], [1, 0])
    with pytest.raises(ValueError, match="part: expected one of train, dev, test, got 'all'"):
        sst2.read("all")


def test_the_penalty_is_that_of_the_least_log_loss(assets):
    """Of a quarter, a half, one and two of it, in two folds of what it is fitted to."""
    for part in ("train", "dev"):
        assets(f"language/sst2_{part}.tsv")
    texts, labels = (first + second for first, second in zip(sst2.read("train"), sst2.read("dev")))
    truth, losses = torch.tensor(labels, dtype=torch.float64), {}
    for penalty in (INVERSE_PENALTY / 4, INVERSE_PENALTY, INVERSE_PENALTY * 4):
        parts = []
        for fold in (0, 1):
            chosen = [[each for k, each in enumerate(rows) if k % 2 == fold] for rows in (texts, labels)]
            network = TfidfClassifier.fit(*chosen, penalty)
            held = [each for k, each in enumerate(texts) if k % 2 != fold]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(held).double(), truth[1 - fold :: 2])
            parts.append(float(loss))
        losses[penalty] = sum(parts)
    assert min(losses, key=losses.get) == INVERSE_PENALTY
