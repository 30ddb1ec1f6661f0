"""What should follow a text: against one call of the model for each token, and all that may stand between."""

import copy
import itertools
import json
import math

import pytest
import torch

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language.rewards import Infilling
from svlearn.domains.language.rewards.pretrained import Tokens
from svlearn.recipes import Context, build

pytest.importorskip("transformers", reason="needs transformers: the extra `language`")

from model_toys import Writer, direct, gpt2, letters_tokenizer, llama, scatter
from tokenizers import normalizers
from transformers import LlamaConfig, LlamaForCausalLM

PROMPTS = [[1, 5, 9], [1, 8, 8]]


def states(reference, texts, prompts):
    """Finished states of texts of tokens, behind prompts that are padded on the left with anything."""
    x = reference.initial(len(texts), condition=[[0] * max(map(len, prompts))] * len(texts))
    for row, (text, prompt) in enumerate(zip(texts, prompts)):
        x["prompt"][row] = 7
        x["prompt"][row, len(x["prompt"][row]) - len(prompt) :] = torch.tensor(prompt)
        x["length"][row] = len(prompt)
        x["text"][row, : len(text)], x["text"][row, -1] = torch.tensor(text), len(text)
    return x


@pytest.mark.parametrize("model", [llama(), gpt2()], ids=["llama", "gpt2"])
def test_the_log_probability_is_that_of_one_call_for_each_token(model):
    tokenizer = letters_tokenizer()
    reference = Writer(model, tokenizer, num_steps=4)
    texts = [[9, 12, 7, 30], [2], [10, 2], [9, 12, 7, 30], [4, 5, 6]]
    prompts = [[1, 5, 9, 6], [1], [1, 8], [1, 5, 9, 6], [1, 22, 23]]
    x = states(reference, texts, prompts)
    x["text"][1, 1:-1] = 33  # what is not written
    suffix = tokenizer(" the cat", add_special_tokens=False)["input_ids"]
    wanted = [direct(model, [*prompt, *text, *suffix], len(prompt) + len(text)) for prompt, text in zip(prompts, texts)]
    assert 1 not in suffix and len({*wanted}) == 4
    for each in (" the cat", suffix, torch.tensor(suffix)):
        scores = Infilling(reference, each, batch_size=3)(x)
        assert scores.tolist() == pytest.approx(wanted, abs=1e-10) and scores.dtype == torch.float64
    assert Infilling(reference, suffix)(x[:0]).shape == (0,)


def test_what_is_alike_is_computed_once(monkeypatch):
    model = llama()
    reference = Writer(model, letters_tokenizer(), num_steps=4)
    x = states(reference, [[9, 9], [9, 9], [4]], [[1], [1], [1]])
    x["text"][1, 2:-1] = 5
    rows = []
    model.register_forward_pre_hook(lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    Infilling(reference, "a")(x)
    assert rows == [2]


def test_a_suffix_is_read_as_it_is_written():
    """A tokenizer that begins every text with a space puts none before a suffix, and none twice."""
    tokenizer = letters_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    reference = Writer(llama(), tokenizer)
    names = {
        text: tokenizer.convert_ids_to_tokens(Infilling(reference, text)._of_all) for text in (" the cat", "nd", ".")
    }
    assert names == {" the cat": [" ", "the", " ", "c", "at"], "nd": ["n", "d"], ".": ["."]}
    assert tokenizer.tokenize(" the cat")[:3] == [" ", " ", "the"]


def tiny():
    """V = 4."""
    config = LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, bos_token_id=1
    )
    return scatter(LlamaForCausalLM(config)).double()


def test_the_law_of_suffixes_is_a_law():
    """Over all 64 suffixes of three tokens."""
    reference = Writer(tiny(), letters_tokenizer())
    x = states(reference, [[3, 0]], [[1, 2]])
    logs = torch.cat([Infilling(reference, each)(x) for each in itertools.product(range(4), repeat=3)])
    assert float(logs.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_the_normalizer_is_the_probability_of_the_suffix(generator):
    """log Z = log p(suffix | prompt), two tokens behind the prompt, by enumeration; SMC says it within its error."""
    reference = Writer(tiny(), letters_tokenizer())
    prompt, suffix = [1, 2, 3], [0, 3, 2]
    texts = [list(each) for each in itertools.product(range(4), repeat=2)]
    laws = torch.tensor([direct(reference.model, [*prompt, *text], len(prompt)) for text in texts]).double()
    joint = torch.tensor([direct(reference.model, [*prompt, *text, *suffix], len(prompt)) for text in texts]).double()
    target = sv.targets.likelihood(Infilling(reference, suffix))
    rewards = target(states(reference, texts, [prompt] * len(texts)))
    assert torch.allclose(laws + rewards, joint, atol=1e-10)
    log_z = float(joint.logsumexp(dim=0))
    number = 2000
    condition = [prompt]
    drawn = sv.smc(reference, target, sv.values.Zero(), number).sample(1, condition=condition, generator=generator)
    ratios = (rewards - log_z).exp()
    error = math.sqrt(float((laws.exp() * (ratios - 1).square()).sum()) / number)
    assert abs(math.exp(float(drawn.log_normalizer) - log_z) - 1) < 4 * error


def test_each_prompt_has_its_own_suffix(generator):
    """Of prompts of unequal lengths in one batch, against one call for each token; log Z of each by enumeration."""
    reference = Writer(tiny(), letters_tokenizer(), num_steps=2)
    suffixes = {(1, 2, 3): [0, 3, 2], (2,): [1], (1, 2): (3, 3)}
    texts = [[3, 0], [0, 0], [3, 0], [2, 1], [0]]  # the third and the last have the same tokens under other prompts
    prompts = [[1, 2, 3], [2], [1, 2], [2], [1, 2, 3]]
    reward = Infilling(reference, suffixes, batch_size=3)
    wanted = [
        direct(reference.model, [*prompt, *text, *suffixes[tuple(prompt)]], len(prompt) + len(text))
        for prompt, text in zip(prompts, texts)
    ]
    assert reward(states(reference, texts, prompts)).tolist() == pytest.approx(wanted, abs=1e-10)
    for prompt, suffix in suffixes.items():
        x = states(reference, texts, [list(prompt)] * 5)
        torch.testing.assert_close(reward(x), Infilling(reference, suffix)(x), rtol=0, atol=1e-10)
    every = [list(each) for each in itertools.product(range(4), repeat=2)]
    conditions = [[1, 2, 3], [2, 2, 2]]
    target = sv.targets.likelihood(Infilling(reference, {(1, 2, 3): [0, 3, 2], (2, 2, 2): [1]}))
    drawn = sv.smc(reference, target, sv.values.Zero(), 2000).sample(2, condition=conditions, generator=generator)
    for row, (prompt, suffix) in enumerate(zip(conditions, ([0, 3, 2], [1]))):
        law = torch.tensor([direct(reference.model, [*prompt, *text], 3) for text in every]).double()
        log_z = torch.tensor([direct(reference.model, [*prompt, *text, *suffix], 3) for text in every]).logsumexp(0)
        rewards = target(states(reference, every, [prompt] * 16)).double()
        error = math.sqrt(float((law.exp() * ((rewards - log_z).exp() - 1).square()).sum()) / 2000)
        assert abs(math.exp(float(drawn.log_normalizer[row] - log_z)) - 1) < 4 * error


def test_a_suffix_a_prompt_as_texts_is_built_again():
    reference = Written(llama(), letters_tokenizer())
    first = Infilling(reference, {"a cat": " the cat", "b": "."})
    recipe = json.loads(json.dumps(describe(first, reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert again.name == first.name == Infilling(reference, {"b": ".", "a cat": " the cat"}).name
    assert first.name not in {Infilling(reference, each).name for each in (" the cat", {"a cat": " the cat"})}
    prompt = reference.tokenizer("a cat", add_special_tokens=False)["input_ids"]
    x = states(reference, [[9, 12]], [prompt])
    for other in (again, copy.deepcopy(first), Infilling(reference, " the cat")):
        torch.testing.assert_close(other(x), first(x), rtol=0, atol=1e-10)


class Written(Writer):
    """One that takes texts as prompts."""

    def initial(self, batch_size, *, condition=None, generator=None):
        read = Tokens(self.tokenizer, special=False)
        ids = [read([each])[0] if isinstance(each, str) else each for each in condition]
        return super().initial(batch_size, condition=ids, generator=generator)


def test_a_prompt_without_a_suffix_and_prompts_that_are_alike():
    reference = Written(llama(), letters_tokenizer())
    reward = Infilling(reference, {(1, 5, 9): "."})
    with pytest.raises(ValueError, match="suffix: expected one for each prompt, got none for '.+'"):
        reward(states(reference, [[9], [9]], [[1, 5, 9], [1, 5]]))
    ids = tuple(reference.tokenizer("a cat", add_special_tokens=False)["input_ids"])
    for suffix, reason in [
        ({}, "that of a prompt at least"),
        ({"a cat": ".", ids: "a"}, "different prompts, got one whose tokens"),
        ({"a cat": ""}, r"suffix\['a cat'\]: expected tokens of 0 ... 39, one at least, got none"),
    ]:
        with pytest.raises(ValueError, match=reason):
            Infilling(reference, suffix)


def test_the_dropout_of_a_reference_in_training_is_no_part_of_it():
    reference = Writer(gpt2(), letters_tokenizer())
    x = states(reference, [[9, 12]], PROMPTS[:1])
    before = Infilling(reference, "the")(x)
    reference.train()
    assert torch.equal(Infilling(reference, "the")(x), before) and reference.model.training
    reference.eval()


def test_it_is_built_again_and_shares_the_reference():
    reference = Writer(llama(), letters_tokenizer())
    x = states(reference, [[9, 12], [4, 5]], PROMPTS)
    first = Infilling(reference, " the cat")
    recipe = json.loads(json.dumps(describe(first, reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert torch.equal(again(x), first(x)) and again.name == first.name
    assert copy.deepcopy(first).reference is reference
    tokens = Infilling(reference, reference.tokenizer(" the cat", add_special_tokens=False)["input_ids"])
    assert tokens.name == first.name
    other = Writer(gpt2(), letters_tokenizer())
    assert len({first.name, Infilling(reference, " the dog").name, Infilling(other, " the cat").name}) == 3


def test_others_are_refused(walk):
    reference = Writer(gpt2(), letters_tokenizer())
    x = states(reference, [[9, 12]], PROMPTS[:1])
    with pytest.raises(TypeError, match="reference: expected a causal language model, got Walk"):
        Infilling(walk, "a")
    with pytest.raises(TypeError, match="suffix: expected integers, got int"):
        Infilling(reference, 3)
    with pytest.raises(ValueError, match="suffix: expected tokens of 0 ... 39, one at least, got none"):
        Infilling(reference, "")
    with pytest.raises(ValueError, match="suffix: expected tokens of 0 ... 39, one at least, got 40"):
        Infilling(reference, [3, 40])
    with pytest.raises(ValueError, match="suffix: expected integers of at least 0"):
        Infilling(reference, [-1])
    with pytest.raises(ValueError, match="expected at most 32 tokens in each, as many as the model reads, got 33"):
        Infilling(reference, [3] * 28)(x)
    with pytest.raises(TypeError, match="x: expected states of texts, .* got list"):
        Infilling(reference, "a")(["a text"])
    x["length"][0], x["text"][0, -1] = 0, 0
    with pytest.raises(ValueError, match="x: expected a token before the suffix, got none in state 0"):
        Infilling(reference, "a")(x)
