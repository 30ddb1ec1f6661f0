"""Rewards on the texts of states: what is called with what, what is refused, and what is kept of the inner reward."""

import copy
import itertools
import json
import math

import numpy as np
import pytest
import torch
from text_toys import LAW, LETTERS, Letters, Parts, written
from torch import nn

import svlearn as sv
from svlearn.description import describe
from svlearn.domains.language.rewards import MustContain, OnTexts
from svlearn.identity import identity
from svlearn.placement import modules_of
from svlearn.process import Reference
from svlearn.recipes import Context, build
from svlearn.reward import is_asynchronous
from svlearn.targets import NonFiniteError
from svlearn.testing import check_reward


def number_of_a(texts):
    return [float(text.count("a")) for text in texts]


def number_of_b(texts):
    return torch.tensor([text.count("b") for text in texts])


class Counting:
    """Says how often it was called, with which texts, and forgets it."""

    asynchronous = True

    def __init__(self):
        self.texts = []

    def __call__(self, texts):
        self.texts.append(list(texts))
        return [0.5] * len(texts)

    def forget(self):
        self.texts = []


class Judge(nn.Module):
    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, texts):
        return self.weight * torch.tensor([float(len(text)) for text in texts])


def test_a_reward_is_called_with_the_texts_of_the_states():
    reference = Letters()
    x = written("aabb", "cc a", "bbbb", prompt="aa")
    assert OnTexts(reference, number_of_a)(x).tolist() == [4.0, 3.0, 2.0]
    assert OnTexts(reference, number_of_a, of="continuation")(x).tolist() == [2.0, 1.0, 0.0]
    check_reward(OnTexts(reference, number_of_a), reference)


def test_what_is_alike_is_decoded_and_scored_once():
    reference, counting = Letters(), Counting()
    x = written("aabb", "cccc", "aabb", "aabb")
    x["text"][1:2, :] = torch.tensor([[3, 3, 1, 2, 2]])  # "cc", and two letters that are not written
    x = torch.cat([x, written("ccab")])
    x["text"][4, -1] = 2
    assert OnTexts(reference, counting)(x).tolist() == [0.5] * 5
    assert reference.decoded == [3]  # two buffers hold "cc", with different rests
    assert counting.texts == [["aabb", "cc"]]
    assert [type(text) for text in counting.texts[0]] == [Parts, Parts]


def test_texts_that_differ_in_their_parts_alone_are_scored_each():
    reference = Letters()
    x = torch.cat([reference.initial(1, condition=["aab"]), written("bbbb", prompt=" aa")])
    x["text"][0] = torch.tensor([1, 1, 1, 0, 3])
    x["length"][1] = 2
    assert [str(text) for text in reference.decode(x)] == ["aabbbb", "aabbbb"]
    assert OnTexts(reference, lambda texts: [float(len(text.prompt)) for text in texts])(x).tolist() == [3.0, 2.0]


def test_a_dict_is_the_weighted_sum_of_one_decoding():
    reference, idle = Letters(), Counting()
    x = written("aabb", "abbb", prompt="a")
    reward = OnTexts(reference, {number_of_a: 2.0, number_of_b: -0.5, idle: 0.0}, of="continuation")
    assert reward(x).tolist() == [3.0, 0.5]
    assert reference.decoded == [2] and idle.texts == []
    assert OnTexts(reference, {number_of_a: 0.0})(x).tolist() == [0.0, 0.0]


def test_the_weights_of_a_target_take_each_wrapped():
    reference = Letters()
    target = sv.Target({OnTexts(reference, number_of_a): 2.0, OnTexts(reference, number_of_b): -0.5}, alpha=1.0)
    assert target(written("aabb", "abbb")).tolist() == [3.0, 0.5]


def test_the_exact_normalizer_of_a_constraint_is_that_of_enumeration(generator):
    """P(a text of four letters holds the word a) by all 256 texts, and by importance weights of the reference."""
    reference = Letters()
    target = sv.targets.constraint(OnTexts(reference, MustContain("a")))
    texts = ["".join(each) for each in itertools.product(LETTERS, repeat=4)]
    law = torch.stack([LAW.double()[[LETTERS.index(letter) for letter in text]].sum() for text in texts]).exp()
    holds = torch.tensor([any(part == "a" for part in text.split(" ")) for text in texts])
    assert target(written(*texts)).tolist() == [0.0 if each else -math.inf for each in holds]
    number = 4000
    drawn = sv.smc(reference, target, sv.values.Zero(), number).sample(1, generator=generator)
    share = float(law[holds].sum())
    error = math.sqrt(share * (1 - share) / number)
    assert abs(float(drawn.log_normalizer.exp()) - share) < 4 * error
    assert all("a" in each.split(" ") for each in reference.decode(drawn.draw(generator=generator)))


def test_truth_values_stay_what_they_are():
    x = written("aabb", "bbbb")
    for holds in (
        lambda texts: ["a" in text for text in texts],
        lambda texts: np.array(["a" in each for each in texts]),
    ):
        assert OnTexts(Letters(), holds)(x).dtype == torch.bool
        assert sv.targets.constraint(OnTexts(Letters(), holds))(x).tolist() == [0.0, -math.inf]
    assert OnTexts(Letters(), {lambda texts: ["a" in text for text in texts]: 2.0})(x).tolist() == [2.0, 0.0]


def test_numbers_of_any_kind_are_taken():
    x = written("aabb", "bbbb")
    for scores in (
        [1, 2.5],
        (np.float32(1), np.float64(2.5)),
        np.array([1, 2.5]),
        [torch.tensor(1), torch.tensor(2.5)],
    ):
        assert OnTexts(Letters(), lambda texts, scores=scores: scores)(x).tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    ("scores", "error", "words"),
    [
        ([1.0], ValueError, r"reward: scoring should return a number for each of 2 texts, \(2,\), got \(1,\)"),
        (torch.zeros(2, 1), ValueError, r"for each of 2 texts, \(2,\), got \(2, 1\)"),
        ([], ValueError, r"for each of 2 texts, \(2,\), got \(0,\)"),
        (1.0, TypeError, "should return a list of 2 numbers, got float"),
        ({"a": 1.0, "b": 2.0}, TypeError, "should return a list of 2 numbers, got dict"),
        ("no", TypeError, "should return a list of 2 numbers, got str"),
        ([1.0, "b"], TypeError, r"should return numbers, got str at \[1\]"),
        ([None, 1.0], TypeError, r"should return numbers, got NoneType at \[0\]"),
        (torch.zeros(2, dtype=torch.complex64), TypeError, "real numbers, got a tensor of torch.complex64"),
    ],
)
def test_a_reward_that_returns_something_else_is_refused(scores, error, words):
    def scoring(texts):
        return scores

    with pytest.raises(error, match=words):
        OnTexts(Letters(), scoring)(written("aabb", "bbbb"))


def test_nan_is_an_error_with_its_index():
    target = sv.Target(OnTexts(Letters(), lambda texts: [1.0, math.nan]), 1.0)
    with pytest.raises(NonFiniteError, match="at step T, got nan at index 1"):
        target(written("aabb", "bbbb"))


def test_tokens_where_texts_are_wanted_are_refused():
    target = sv.targets.constraint(MustContain("a"))
    with pytest.raises(
        TypeError, match=r"MustContain expects a list of texts, got states of tokens \(TensorDict\); wr"
    ):
        target(written("aabb"))
    with pytest.raises(TypeError, match=r"write OnTexts\(reference, MustContain\(...\)\)"):
        MustContain("a")(torch.zeros(2, 3))
    with pytest.raises(TypeError, match=r"texts\[1\]: MustContain expects a text \(a str\), got list; decode tokens"):
        MustContain("a")(["a", [1, 2]])
    with pytest.raises(TypeError, match="expects a list of texts, got one str"):
        MustContain("a")("a")


def test_what_the_inner_reward_says_is_kept():
    reference, counting = Letters(), Counting()
    reward = OnTexts(reference, {counting: 1.0, number_of_a: 1.0})
    assert is_asynchronous(reward) and not is_asynchronous(OnTexts(reference, number_of_a))
    reward(written("aabb"))
    assert counting.texts
    reward.forget()
    assert counting.texts == []


def test_its_name_tells_what_scores_otherwise():
    reference = Letters()
    rewards = [
        OnTexts(reference, number_of_a),
        OnTexts(reference, number_of_b),
        OnTexts(reference, number_of_a, of="continuation"),
        OnTexts(reference, {number_of_a: 2.0}),
        OnTexts(reference, Judge()),
        OnTexts(reference, Judge(2.0)),
        OnTexts(reference, MustContain("a")),
        OnTexts(reference, MustContain("a", ignore_case=False)),
    ]
    names = [each.name for each in rewards]
    assert None not in names and len(set(names)) == len(names) and len({*map(identity, rewards)}) == len(names)
    reference.decode(written("aaaa"))
    assert OnTexts(reference, number_of_a).name == names[0]
    with open(__file__) as file:
        assert OnTexts(reference, lambda texts: file).name is None


def test_a_dict_is_built_again():
    reference, x = Letters(), written("aabb", "b bb")
    first = OnTexts(reference, {MustContain("b"): 2.0, number_of_a: -0.5}, of="continuation")
    recipe = json.loads(json.dumps(describe(first, reference, "reward")))
    again = build(recipe, Context(defaults={"reference": reference}), "reward")
    assert again(x).tolist() == first(x).tolist() == [-1.0, 2.0] and again.name == first.name
    assert again.reference is reference and copy.deepcopy(again).name == first.name


def test_the_reference_is_shared_by_copies():
    reference, judge = Letters(), Judge()
    reward = OnTexts(reference, judge, of="continuation")
    copied = copy.deepcopy(reward)
    assert copied.reference is reference and copied.reward is not judge and copied.of == "continuation"
    other = copy.deepcopy([reference, reward])
    assert other[1].reference is other[0] is not reference
    assert set(modules_of(sv.Target(reward, 1.0))) >= {reference, judge}


def test_no_gradient_of_a_judge_is_recorded():
    scores = OnTexts(Letters(), Judge())(written("aabb", "bbbb"))
    assert scores.tolist() == [4.0, 4.0] and not scores.requires_grad


class Wordless(Letters):
    def decode(self, x):
        return [[1, 2] for _ in range(len(x))]


class Plain(Letters):
    def decode(self, x):
        return [str(each) for each in super().decode(x)]


class Short(Letters):
    def decode(self, x):
        return super().decode(x)[:-1]


class Mute(Reference):
    num_steps = 1

    def initial(self, batch_size, *, condition=None, generator=None):
        raise NotImplementedError

    def forward(self, x, t, previous=None):
        raise NotImplementedError


def test_another_reference_is_refused():
    x = written("aabb", "bbbb")
    with pytest.raises(TypeError, match="reference: expected a Reference, got str"):
        OnTexts("gpt2", number_of_a)
    with pytest.raises(TypeError, match=r"reference: expected one with decode\(x\) -> texts, got Mute without"):
        OnTexts(Mute(), number_of_a)
    with pytest.raises(TypeError, match=r"expected decode to give texts \(strs\), got list"):
        OnTexts(Wordless(), number_of_a)(x)
    with pytest.raises(TypeError, match="of: expected 'text', for the texts of the reference know no continuation"):
        OnTexts(Plain(), number_of_a, of="continuation")(x)
    with pytest.raises(ValueError, match="expected decode to give 2 texts, one for each state, got 1"):
        OnTexts(Short(), number_of_a)(x)
    with pytest.raises(ValueError, match="of: expected one of text, continuation, got 'prompt'"):
        OnTexts(Letters(), number_of_a, of="prompt")
    with pytest.raises(TypeError, match="reward: expected callables"):
        OnTexts(Letters(), 1.0)
