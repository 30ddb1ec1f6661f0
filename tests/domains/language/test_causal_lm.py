"""A causal model as a reference: its laws by the cache, without it and along trajectories; prompts and ends."""

import copy
import dataclasses
import warnings

import pytest
import torch
from language_toys import END, PROMPTS, letters_tokenizer, tiny_gpt2, tiny_llama, tiny_reference
from tokenizers import processors
from transformers import T5Config, T5ForConditionalGeneration

from svlearn import testing
from svlearn.domains.language import CausalLM, Text
from svlearn.domains.language.texts import prompt_tokens, with_continuations
from svlearn.fingerprint import fingerprint
from svlearn.inference.samplers import ancestral
from svlearn.state import concatenate

STEPS = 4


def walk(reference, prompts, seed=1):
    """Trajectories (B, T + 1) by the cache, and what was predicted at each step."""
    generator, size = torch.Generator().manual_seed(seed), len(prompts)
    x, previous, states, predictions = reference.initial(size, condition=prompts), None, [], []
    for t in range(reference.num_steps):
        states.append(x)
        times = torch.full((size,), t)
        previous = reference(x, times) if previous is None else reference(x, times, previous)
        predictions.append(previous)
        x = previous.transition.sample(generator=generator)
    return torch.stack([*states, x], dim=1), predictions


def log_probs(prediction):
    return prediction.transition.laws["text"].log_probs


def assert_alike(first, second, rows):
    for one, other in ((log_probs(first), log_probs(second)), (first.features, second.features)):
        torch.testing.assert_close(one[rows], other[rows], rtol=0, atol=1e-12)
    torch.testing.assert_close(first.features_before, second.features_before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [tiny_llama, tiny_gpt2])
def test_the_cache_and_one_pass_say_what_a_call_without_says(model):
    reference = tiny_reference(STEPS, model())
    trajectory, predictions = walk(reference, PROMPTS * 3)
    assert not bool(reference.finished(trajectory[:, 1]).all())
    for t, along in enumerate(reference.along(trajectory)):
        x = trajectory[:, t]
        rows = ~reference.finished(x)
        for other in (predictions[t], along):
            assert_alike(reference(x, torch.full((len(x),), t)), other, rows)


def test_a_call_of_different_times_has_the_laws_of_each():
    reference = tiny_reference(STEPS)
    trajectory, predictions = walk(reference, PROMPTS * 2)
    times = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    x = torch.stack([trajectory[row, t] for row, t in enumerate(times.tolist())])
    mixed = reference(x, times)
    assert mixed.cache is None
    for row, t in enumerate(times.tolist()):
        if not bool(reference.finished(x)[row]):
            torch.testing.assert_close(log_probs(mixed)[row], log_probs(predictions[t])[row], rtol=0, atol=1e-12)
        torch.testing.assert_close(mixed.features_before[row], predictions[t].features_before[row])


def test_a_law_does_not_depend_on_the_padding_and_is_that_of_the_model():
    reference = tiny_reference()
    together = reference(reference.initial(4, condition=PROMPTS), torch.zeros(4, dtype=torch.long))
    for row, prompt in enumerate(PROMPTS):
        tokens = torch.tensor([["abc".index(letter) for letter in prompt]])
        own = reference.model(input_ids=tokens).logits[0, -1].log_softmax(dim=0)
        torch.testing.assert_close(log_probs(together)[row], own, rtol=0, atol=1e-12)


def test_prompts_that_are_alike_are_computed_once_and_a_step_computes_one_position():
    reference = tiny_reference(STEPS, end_tokens=[])
    ancestral(reference).sample(8, condition=["ab"] * 8, generator=torch.Generator().manual_seed(0))
    assert reference.positions == 2 + 8 * (STEPS - 1)


def test_temperature_top_k_and_top_p_are_those_of_generate():
    plain = tiny_reference()
    x, t = plain.initial(1, condition=["ab"]), torch.zeros(1, dtype=torch.long)
    logits = log_probs(plain(x, t))[0]
    warm = log_probs(tiny_reference(temperature=2.0)(x, t))[0]
    torch.testing.assert_close(warm, (logits / 2).log_softmax(dim=0), check_dtype=False)
    ordered = logits.argsort(descending=True)
    two = log_probs(tiny_reference(top_k=2)(x, t))[0].exp()
    assert two[ordered[2:]].tolist() == [0, 0]
    torch.testing.assert_close(two.sum(), two.new_ones(()))
    share = float(logits[ordered[:2]].exp().sum()) + 1e-6
    assert log_probs(tiny_reference(top_p=share)(x, t))[0][ordered[2]] > -torch.inf
    assert log_probs(tiny_reference(top_p=share - 1e-3)(x, t))[0][ordered[2:]].exp().tolist() == [0, 0]


def test_the_law_that_a_process_was_made_with_cannot_be_changed():
    reference = tiny_reference(temperature=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        reference.sampling.temperature = 2.0
    assert reference.sampling.settings == [0.5, None, None]


def test_a_text_ends_with_its_end_token_or_a_stop_string_or_its_buffer():
    tokenizer = letters_tokenizer("abcdef")  # StopStringCriteria needs these letters of a tokenizer
    reference = CausalLM(tiny_llama(7), tokenizer, 3, stop_strings=["cb", "aaa"])
    rows = [[], [6], [2, 1], [1, 2], [0, 1, 0], [0, 0, 0]]
    rows = with_continuations(reference.initial(6, condition=["ab"] * 6), rows)
    assert reference.finished(rows).tolist() == [False, True, True, False, True, True]
    texts = reference.decode(rows)
    assert texts == ["ab", "ab", "abcb", "abbc", "ababa", "abaaa"]
    assert [text.continuation for text in texts] == ["", "", "cb", "bc", "aba", "aaa"]
    assert {text.prompt for text in texts} == {"ab"}


def test_a_stop_string_is_looked_for_in_what_is_written_alone():
    reference = CausalLM(tiny_llama(9), letters_tokenizer("abcdef"), 4, stop_strings=["aaa", "bab"])
    rows = [[0], [0, 0], [1], [1, 0], [0, 0, 0], [8, 0, 0], [2, 1, 0, 1]]  # 8 is a token of the model alone
    rows = with_continuations(reference.initial(7, condition=["ab"] * 7), rows)
    assert reference.finished(rows).tolist() == [False, False, False, False, True, False, True]


def test_an_ended_text_stays():
    reference = tiny_reference(3)
    x = with_continuations(reference.initial(2, condition=["ab"] * 2), [[END], [1]])
    law = reference(x, torch.ones(2, dtype=torch.long)).transition
    assert law.log_prob(x)[0] == 0 and law.log_prob(x)[1] == -torch.inf
    assert bool((law.sample(generator=torch.Generator().manual_seed(0))[0] == x[0]).all())


def test_noise_forgets_the_last_tokens():
    reference = tiny_reference(4)
    x = with_continuations(reference.initial(3, condition=["ab"] * 3), [[0, 1, 2, 0], [1, END], [2, 2, 2, 2]])
    back = reference.noise(x, torch.full((3,), 4), torch.tensor([2, 2, 0]))
    expected = with_continuations(reference.initial(3, condition=["ab"] * 3), [[0, 1], [1, END], []])
    assert reference.decode(back) == reference.decode(expected)
    assert back["text"][:, -1].tolist() == [2, 2, 0]


def test_prompts_are_texts_chats_ids_or_leaves():
    reference = tiny_reference()
    reference.tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    texts = reference.initial(2, condition=["ab", "c"])
    chats = reference.initial(2, condition=[[{"role": "user", "content": "ab"}], [{"role": "user", "content": "c"}]])
    ids = reference.initial(2, condition=[[0, 1], [2]])
    rows = reference.prompts(["ab", "c", "abc"])
    for x in (chats, ids):
        assert bool((x == texts).all())
    wide = reference.initial(2, condition=rows[:2])
    assert wide["prompt"].shape == (2, 3) and wide["length"].tolist() == [2, 1]
    assert reference.decode(wide) == reference.decode(texts)
    assert len(concatenate([wide, reference.initial(1, condition=rows[2:])])) == 3


def test_the_kit_finds_no_fault():
    testing.check_reference(tiny_reference(3), condition=PROMPTS)


def test_what_shapes_the_law_shapes_the_fingerprint():
    reference = tiny_reference()
    assert fingerprint(reference) == fingerprint(tiny_reference())
    others = [{"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}, {"max_new_tokens": 5}, {"end_tokens": [0]}]
    assert fingerprint(reference) not in {fingerprint(tiny_reference(**other)) for other in others}
    ancestral(reference).sample(2, condition=["ab"] * 2, generator=torch.Generator().manual_seed(0))
    assert fingerprint(reference) == fingerprint(tiny_reference())


def test_a_text_keeps_its_parts_when_it_is_copied():
    text = Text("once upon", "once")
    assert (text.prompt, text.continuation) == ("once", " upon")
    assert copy.deepcopy(text).continuation == " upon"


def test_an_end_token_that_the_tokenizer_puts_behind_a_text_is_left_out_and_one_of_the_prompt_stays():
    plain, adding = letters_tokenizer(bos_token="a"), letters_tokenizer(bos_token="a")
    special = {"single": "$A </s>", "special_tokens": [("</s>", END)]}
    adding.backend_tokenizer.post_processor = processors.TemplateProcessing(**special)
    for tokenizer in (plain, adding):
        reference = CausalLM(tiny_llama(), tokenizer, 3)
        rows = reference.initial(5, condition=["bc", "bc</s>", "b</s>c", "", "</s>"])
        assert prompt_tokens(rows) == [[1, 2], [1, 2, END], [1, END, 2], [0], [END]]


def test_neither_end_token_nor_begin_token():
    tokenizer = letters_tokenizer(eos_token=None)
    model = tiny_llama()
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    with pytest.warns(UserWarning, match="neither it nor the model has an end token"):
        reference = CausalLM(model, tokenizer, 3)
    with pytest.raises(ValueError, match="no bos_token"):
        reference.initial(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begun = CausalLM(tiny_llama(), letters_tokenizer(bos_token="</s>"), 3)
    assert begun.initial(2, condition=["", "a"])["length"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("condition", "error", "reason"),
    [
        ("ab", TypeError, "expected 2 prompts in a list"),
        (["ab"], ValueError, "expected 2 prompts, one for each sample, got 1"),
        (["ab", ""], ValueError, "no bos_token"),
        (["ab", "a" * 30], ValueError, "at most 28 tokens, for the model's context is of 32"),
        (["ab", [0, 9]], ValueError, r"condition\[1\]: expected .* got 9"),
        (["ab", 3.5], TypeError, "expected a text, a chat"),
        (["ab", [{"role": "user", "content": "a"}]], ValueError, "no chat template"),
        (torch.tensor([[0, 7], [0, 1]]), ValueError, "expected ids of 0 to 3"),
        (torch.zeros(2, 2), ValueError, "token ids"),
        ({"prompt": torch.zeros(2, 2, dtype=torch.long), "length": torch.tensor([0, 3])}, ValueError, "of 1 to 2"),
        ({"text": torch.zeros(2, 2)}, ValueError, "names text"),
        (7, TypeError, "got int"),
    ],
)
def test_conditions_that_are_no_prompts(condition, error, reason):
    with pytest.raises(error, match=reason):
        tiny_reference().initial(2, condition=condition)


def test_wrong_arguments():
    model, tokenizer = tiny_llama(), letters_tokenizer()
    for options, error, reason in [
        ({"max_new_tokens": 0}, ValueError, "max_new_tokens"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"top_k": 0}, ValueError, "top_k"),
        ({"top_p": 1.5}, ValueError, "top_p"),
        ({"end_tokens": [9]}, ValueError, "end_tokens"),
        ({"dtype": "float16"}, ValueError, "by its name or folder"),
    ]:
        with pytest.raises(error, match=reason):
            CausalLM(model, tokenizer, **options)
    with pytest.raises(TypeError, match="tokenizer: expected that of the LlamaForCausalLM"):
        CausalLM(model)
    with pytest.raises(ValueError, match="at most the 4 tokens of the model, got 6"):
        CausalLM(model, letters_tokenizer("abcde"))
    with pytest.raises(TypeError, match="expected a model of transformers"):
        CausalLM(torch.nn.Linear(2, 2), tokenizer)
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=4, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1))
    with pytest.raises(ValueError, match="expected a causal language model, got a T5For"):
        CausalLM(t5, tokenizer)
    with pytest.raises(TypeError, match="got the class LlamaForCausalLM"):
        CausalLM(type(model), tokenizer)


def test_a_model_by_its_folder(tmp_path):
    tiny_llama(dtype=torch.float32).save_pretrained(tmp_path)
    letters_tokenizer().save_pretrained(tmp_path)
    reference = CausalLM(tmp_path, max_new_tokens=4)
    own = tiny_reference(4, tiny_llama(dtype=torch.float32))
    x, t = own.initial(1, condition=["ab"]), torch.zeros(1, dtype=torch.long)
    torch.testing.assert_close(log_probs(reference(x, t)), log_probs(own(x, t)))


def test_a_name_that_cannot_be_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/no-such-model", tmp_path):
        with pytest.raises(OSError, match="model: expected a folder in transformers' format or a published name"):
            CausalLM(name)
