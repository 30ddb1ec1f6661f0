"""How likely texts are to another model, against one call of it for each token."""

import json
import math

import pytest
import torch
from text_toys import Letters, Parts, written

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language.rewards import MeanLogLikelihood, OnTexts
from svlearn.domains.language.rewards.likelihood import log_likelihoods
from svlearn.identity import identity
from svlearn.recipes import Context, build

pytest.importorskip("transformers", reason="needs transformers: the extra `language`")

from model_toys import direct, gpt2, letters_tokenizer, llama

TEXTS = ["the cat sat", "a", "hello there, a cat", "the cat sat", "they sang"]
MODELS = {"llama": llama, "gpt2": gpt2}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_log_likelihood_of_rows_is_that_of_one_call_for_each_token(kind, batch_size):
    model = MODELS[kind]()
    rows = [[1, 5, 9, 12, 7], [3], [4, 4, 8], [30, 2, 2, 6, 11, 19, 25], [8, 9]]
    starts = [1, 1, 2, 5, 2]
    wanted = [direct(model, row, start) for row, start in zip(rows, starts)]
    assert wanted[1] == wanted[4] == 0.0
    sums = log_likelihoods(model, rows, starts, None, batch_size)
    assert sums.tolist() == pytest.approx(wanted, abs=1e-10)
    assert log_likelihoods(model, [], [], None, batch_size).shape == (0,)


def test_a_model_that_gives_all_its_logits_says_the_same():
    class All(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = llama()

        def get_input_embeddings(self):
            return self.model.get_input_embeddings()

        def forward(self, **inputs):
            return self.model(**inputs)

    rows, starts = [[1, 5, 9, 12, 7], [4, 4, 8]], [3, 2]
    assert torch.equal(log_likelihoods(All(), rows, starts, None, 8), log_likelihoods(llama(), rows, starts, None, 8))


@pytest.mark.parametrize("kind", MODELS)
def test_the_mean_is_over_the_tokens_of_a_text(kind):
    model, tokenizer = MODELS[kind](), letters_tokenizer()
    rows = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert all(row[0] == 1 for row in rows) and len(rows[0]) < 1 + len(TEXTS[0])  # <s>, and pairs of letters
    wanted = [direct(model, row, 1) / (len(row) - 1) for row in rows]
    scores = MeanLogLikelihood(model, tokenizer)(TEXTS)
    assert scores.tolist() == pytest.approx(wanted, abs=1e-10) and scores.dtype == torch.float64
    single = MeanLogLikelihood(MODELS[kind](dtype=torch.float32), tokenizer, batch_size=2)(TEXTS)
    assert single.tolist() == pytest.approx(wanted, abs=1e-4) and single.dtype == torch.float32


def test_without_a_token_to_begin_with_the_first_is_given():
    model, tokenizer = llama(), letters_tokenizer(begin=False)
    row = tokenizer("the cat")["input_ids"]
    reward = MeanLogLikelihood(model, tokenizer)
    assert reward(["the cat"]).tolist() == pytest.approx([direct(model, row, 1) / (len(row) - 1)], abs=1e-10)
    assert reward(["the", "", "a cat"])[:2].tolist() == [-math.inf, -math.inf]  # "the" is one token


def test_a_continuation_is_given_its_prompt():
    model, tokenizer = llama(), letters_tokenizer()
    texts = [Parts("the cat", " sat"), Parts("", "a cat"), Parts("they", ""), Parts("a ca", "t sat"), "a dog"]
    reward = MeanLogLikelihood(model, tokenizer, of="continuation")
    rows = [tokenizer(str(text))["input_ids"] for text in texts]
    pair, last = tokenizer.convert_tokens_to_ids(["at", "a"])
    assert pair in rows[3] and tokenizer("a ca")["input_ids"][-1] == last  # the border is inside of a token
    starts = [len(tokenizer("the cat")["input_ids"]), 1, len(rows[2]), rows[3].index(pair), 1]
    wanted = [direct(model, row, start) / max(1, len(row) - start) for row, start in zip(rows, starts)]
    wanted[2] = -math.inf
    assert reward(texts).tolist() == pytest.approx(wanted, abs=1e-10)
    whole = MeanLogLikelihood(model, tokenizer)(texts[:1])
    assert abs(float(whole - reward(texts[:1]))) > 1e-3


def test_it_is_a_reward_of_states():
    reference, model, tokenizer = Letters(), llama(), letters_tokenizer()
    x = written("ab a", "cc b", "ab a", prompt="b")
    rows = [tokenizer(text)["input_ids"] for text in ("bab a", "bcc b")]
    given = [direct(model, row, 2) / (len(row) - 2) for row in rows]
    target = sv.Target(OnTexts(reference, MeanLogLikelihood(model, tokenizer, of="continuation")), 0.1)
    assert target(x).tolist() == pytest.approx([given[0], given[1], given[0]], abs=1e-6)


def test_one_that_was_named_is_built_again(tmp_path):
    model = gpt2(dtype=torch.float32)
    model.save_pretrained(tmp_path)
    letters_tokenizer().save_pretrained(tmp_path)
    reference, x = Letters(), written("ab a", "bbbb")
    first = OnTexts(reference, MeanLogLikelihood(tmp_path, of="continuation"))
    assert torch.allclose(first.reward(TEXTS), MeanLogLikelihood(model, letters_tokenizer())(TEXTS))
    recipe = json.loads(json.dumps(describe(first, reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert torch.equal(again(x), first(x)) and again.name == first.name is not None


def test_those_that_differ_have_other_identities():
    model, tokenizer = llama(), letters_tokenizer()
    several = [MeanLogLikelihood(model, tokenizer), MeanLogLikelihood(model, tokenizer, of="continuation")]
    several += [MeanLogLikelihood(model, letters_tokenizer(begin=False)), MeanLogLikelihood(gpt2(), tokenizer)]
    assert len({*map(identity, several)}) == 4
    tokenizer(["a", "the"], truncation=True, max_length=1)
    assert identity(MeanLogLikelihood(model, tokenizer)) == identity(several[0])


def test_others_are_refused():
    model, tokenizer = gpt2(), letters_tokenizer()
    with pytest.raises(ValueError, match="of: expected one of text, continuation, got 'prompt'"):
        MeanLogLikelihood(model, tokenizer, of="prompt")
    with pytest.raises(TypeError, match="tokenizer: expected that of the GPT2LMHeadModel"):
        MeanLogLikelihood(model)
    with pytest.raises(ValueError, match="expected at most 32 tokens in each, as many as the model reads, got 41"):
        MeanLogLikelihood(model, tokenizer)(["a", "a" * 40])
    with pytest.raises(TypeError, match=r"write OnTexts\(reference, MeanLogLikelihood"):
        MeanLogLikelihood(model, tokenizer)(written("aaaa"))
