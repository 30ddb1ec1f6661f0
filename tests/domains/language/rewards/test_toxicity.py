"""Whether a text insults, against what the library itself says; its pickles are read only when it is asked."""

import json
import subprocess
import sys

import pytest
import torch
from text_toys import Letters, written

from svlearn.description import describe
from svlearn.domains.language.rewards import OnTexts, Toxicity
from svlearn.identity import identity
from svlearn.recipes import Context, build

TEXTS = ["a little girl named Lily", "go to hell, you idiot", "", "the dog was happy", "shut up, moron"]


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("profanity_check", reason="needs alt-profanity-check: the extra `language`")


def test_the_log_probability_is_that_of_the_library(library):
    wanted = torch.from_numpy(library.predict_prob(TEXTS))
    toxic, clean = Toxicity()(TEXTS), Toxicity("clean")(TEXTS)
    assert torch.allclose(toxic.double().exp(), wanted, atol=1e-6)
    assert torch.allclose(toxic.exp() + clean.exp(), torch.ones(5), atol=1e-6)
    assert (toxic > -0.7).tolist() == [False, True, False, False, True]
    assert Toxicity()([]).shape == (0,)


def test_a_certain_insult_is_never_clean():
    insult = ["fuck you, you fucking idiot, " * 5]
    assert float(Toxicity()(insult)) > -1e-3 and float(Toxicity("clean")(insult)) < -10


def test_nothing_is_read_before_it_is_called():
    code = (
        "import sys; from svlearn.domains.language.rewards import Toxicity; reward = Toxicity()\n"
        "print('profanity_check' in sys.modules); reward(['a']); print('profanity_check' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


def test_it_is_built_again():
    reference = Letters()
    recipe = json.loads(json.dumps(describe(OnTexts(reference, Toxicity("clean")), reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert again.reward == Toxicity("clean") != Toxicity() and identity(Toxicity()) != identity(again.reward)


def test_others_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="label: expected one of toxic, clean, got 'rude'"):
        Toxicity("rude")
    with pytest.raises(TypeError, match="Toxicity expects a list of texts, got states of tokens"):
        Toxicity()(written("aaaa"))
    monkeypatch.setitem(sys.modules, "profanity_check", None)
    with pytest.raises(ImportError, match=r"Toxicity needs alt-profanity-check .*pip install 'svlearn\[language\]'"):
        Toxicity()(["a"])
