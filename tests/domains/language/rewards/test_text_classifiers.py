"""Rewards by classifiers of transformers, against each text alone in a direct call of the model."""

import json
import warnings

import pytest
import torch
from text_toys import Letters, written

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language.rewards import IsClass, LogProbability, OnTexts, Score
from svlearn.identity import identity
from svlearn.recipes import Context, build

pytest.importorskip("transformers", reason="needs transformers: the extra `language`")

from model_toys import LABELS, TEXTS, bert_classifier, bert_tokenizer, gpt2_classifier, letters_tokenizer
from transformers import BertConfig, BertModel, RobertaConfig, RobertaForSequenceClassification


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return bert_tokenizer(tmp_path_factory.mktemp("bert"))


@torch.no_grad()
def alone(model, tokenizer, texts, longest=None):
    """The logits of each text, each in a call of its own, of its own tokens."""
    rows = []
    for text in texts:
        tokens = tokenizer.convert_tokens_to_ids(["[CLS]", *tokenizer.tokenize(text), "[SEP]"])
        if longest is not None and len(tokens) > longest:
            tokens = [*tokens[: longest - 1], tokens[-1]]
        rows.append(model(input_ids=torch.tensor([tokens])).logits[0])
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_log_probability_is_that_of_each_text_alone(tokenizer, batch_size):
    model = bert_classifier()
    wanted = alone(model, tokenizer, TEXTS).log_softmax(dim=1)
    assert float((wanted[0] - wanted[1]).abs().max()) > 0.1  # the texts matter
    for place, name in LABELS.items():
        for label in (place, name):
            reward = LogProbability(model, label, tokenizer, batch_size=batch_size)
            assert torch.allclose(reward(TEXTS), wanted[:, place], atol=1e-5)
    assert reward([]).shape == (0,)
    holds = IsClass(model, "positive", tokenizer)(TEXTS)
    assert holds.dtype == torch.bool and holds.tolist() == (wanted.argmax(dim=1) == 2).tolist()


def test_labels_that_do_not_exclude_each_other_are_each_by_itself(tokenizer):
    model = bert_classifier(problem_type="multi_label_classification")
    logits = alone(model, tokenizer, TEXTS)
    assert torch.allclose(LogProbability(model, 1, tokenizer)(TEXTS), logits[:, 1].sigmoid().log(), atol=1e-5)
    assert IsClass(model, 1, tokenizer)(TEXTS).tolist() == (logits[:, 1] > 0).tolist()
    model = bert_classifier(labels={0: "toxic"}, problem_type="multi_label_classification")
    logits = alone(model, tokenizer, TEXTS)
    assert torch.allclose(LogProbability(model, "toxic", tokenizer)(TEXTS), logits[:, 0].sigmoid().log(), atol=1e-5)


def test_the_score_of_one_number(tokenizer):
    model = bert_classifier(labels={0: "score"})
    assert torch.allclose(Score(model, tokenizer)(TEXTS), alone(model, tokenizer, TEXTS)[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match="model: expected one of two labels at least, got one of one number, which Sc"):
        LogProbability(model, 0, tokenizer)
    with pytest.raises(ValueError, match="model: expected one of one number, got one of 3 labels"):
        Score(bert_classifier(), tokenizer)


def test_a_text_that_is_too_long_is_cut_and_said(tokenizer):
    model = bert_classifier(longest=6)
    wanted = alone(model, tokenizer, TEXTS, longest=6).log_softmax(dim=1)[:, 0]
    with pytest.warns(UserWarning, match="texts: LogProbability reads 6 tokens of each, and has cut a longer one"):
        assert torch.allclose(LogProbability(model, 0, tokenizer)(TEXTS), wanted, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LogProbability(model, 0, tokenizer)(TEXTS[:3]).tolist() == pytest.approx(wanted[:3].tolist(), abs=1e-5)
    wanted = alone(model, tokenizer, TEXTS, longest=4).log_softmax(dim=1)[:, 0]
    with pytest.warns(UserWarning, match="reads 4 tokens of each"):
        assert torch.allclose(LogProbability(model, 0, tokenizer, max_length=4)(TEXTS), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="max_length: expected an integer of 1 ... 6, got 7"):
        LogProbability(model, 0, tokenizer, max_length=7)


def test_the_context_of_roberta_begins_behind_its_padding(tokenizer):
    """Of 12 places it reads 10 tokens: its first token has the place of the padding token, and one."""
    config = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20)
    model = RobertaForSequenceClassification(RobertaConfig(**config, max_position_embeddings=12)).eval()
    reward = LogProbability(model, 0, tokenizer)
    assert reward.longest == 10
    with pytest.warns(UserWarning, match="reads 10 tokens"):
        assert reward(["dog " * 20]).isfinite().all()


@pytest.mark.parametrize(("pad", "batches"), [(None, [1, 1, 1]), (3, [3])])
def test_a_decoder_reads_its_last_token_padded_or_alone(pad, batches):
    texts = ["the cat was sad", "a", "hello there."]
    tokenizer, model, sizes = letters_tokenizer(), gpt2_classifier(pad), []
    rows = [tokenizer(text)["input_ids"] for text in texts]
    wanted = torch.cat([model.score(model.transformer(torch.tensor([row]))[0][:, -1]) for row in rows])
    model.register_forward_pre_hook(lambda _, args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True)
    reward = LogProbability(model, "positive", tokenizer)
    assert torch.allclose(reward(texts), wanted.log_softmax(dim=1)[:, 2], atol=1e-5)
    assert sizes == batches


def test_an_empty_text_is_the_token_that_begins_or_ends_one():
    tokenizer, model = letters_tokenizer(begin=False), gpt2_classifier(3)
    assert tokenizer("")["input_ids"] == []
    reward = LogProbability(model, 0, tokenizer)
    wanted = model.score(model.transformer(torch.tensor([[2]]))[0][:, -1]).log_softmax(dim=1)[:, 0]  # </s>
    assert torch.allclose(reward(["the cat", ""])[1:], wanted, atol=1e-5)
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"texts\[1\]: expected a token at least, got none"):
        LogProbability(model, 0, tokenizer)(["the cat", ""])


def test_it_is_a_reward_and_a_constraint_of_states(tokenizer):
    reference, model = Letters(), bert_classifier()
    x = written("a aa", "aa a", "bbbb")
    wanted = alone(model, tokenizer, ["a aa", "aa a", "bbbb"]).log_softmax(dim=1)
    reward = OnTexts(reference, LogProbability(model, "neutral", tokenizer))
    assert torch.allclose(sv.targets.likelihood(reward)(x), wanted[:, 1], atol=1e-5)
    holds = sv.targets.constraint(OnTexts(reference, IsClass(model, 1, tokenizer)))(x) == 0
    assert holds.tolist() == (wanted.argmax(dim=1) == 1).tolist()
    assert all(not each.requires_grad for each in model.parameters()) and not reward(x).requires_grad


def test_one_that_was_named_is_built_again(tmp_path):
    folder = tmp_path / "model"
    bert_tokenizer(folder)
    bert_classifier().save_pretrained(folder)
    reference, x = Letters(), written("a aa", "bbbb")
    for reward in (LogProbability(folder, "positive"), IsClass(str(folder), 1, max_length=8)):
        first = OnTexts(reference, reward)
        recipe = json.loads(json.dumps(describe(first, reference, "reward")))
        again = build(recipe, Context(defaults={"reference": reference}), "reward")
        assert torch.equal(again(x), first(x)) and again.name == first.name is not None
    with pytest.raises(ValueError, match="expected a LogProbability that keeps its argument 'model', got one without"):
        describe(LogProbability(bert_classifier(), 0, bert_tokenizer(folder)), reference, "reward")


def test_what_a_call_does_to_the_tokenizer_is_no_part_of_its_identity(tokenizer):
    model = bert_classifier()
    reward = LogProbability(model, 1, tokenizer)
    before = identity(reward)
    with pytest.warns(UserWarning, match="has cut a longer one"):
        reward(["dog " * 30])
    tokenizer(TEXTS, padding="max_length", max_length=9, truncation=True)
    assert identity(reward) == before == identity(LogProbability(model, 1, tokenizer))
    others = [LogProbability(model, 0, tokenizer), LogProbability(model, 1, tokenizer, max_length=5)]
    others += [IsClass(model, 1, tokenizer), LogProbability(bert_classifier(labels={0: "a", 1: "b"}), 1, tokenizer)]
    assert len({before, *map(identity, others)}) == 5


def test_other_models_are_refused(tmp_path, tokenizer):
    model = bert_classifier()
    with pytest.raises(
        ValueError, match="label: expected one of negative, neutral, positive, or its number, got 'sad'"
    ):
        LogProbability(model, "sad", tokenizer)
    with pytest.raises(ValueError, match="label: expected an integer of 0 ... 2, got 3"):
        LogProbability(model, 3, tokenizer)
    with pytest.raises(TypeError, match="tokenizer: expected that of the BertForSequenceClassification, .* NoneType"):
        LogProbability(model, 0)
    with pytest.raises(TypeError, match="model: expected a model of transformers, its name or folder, got Linear"):
        LogProbability(torch.nn.Linear(2, 2), 0, tokenizer)
    with pytest.raises(TypeError, match="LogProbability expects a list of texts, got states of tokens"):
        LogProbability(model, 0, tokenizer)(written("aaaa"))
    BertModel(BertConfig(**{**model.config.to_dict(), "architectures": None})).save_pretrained(tmp_path)
    bert_tokenizer(tmp_path)
    with pytest.raises(
        ValueError, match="expected the weights of a BertForSequenceClassification, got others, without"
    ):
        LogProbability(tmp_path, 0)
    with pytest.raises(OSError, match="model: expected a folder in transformers' format or a published name .*/none'"):
        LogProbability(str(tmp_path / "none"), 0)
