"""Scoring of objects: that none is scored twice, what is counted, what is remembered and what is refused."""

import copy
import math
import multiprocessing
import pickle
from functools import partial

import pytest
import torch
from scoring_toys import CHAIN, Words, calls, counted, length, raises_on_cc, states_of

from svlearn.randomness import seeded
from svlearn.scoring import Counts, ScoredReward, Scorer


def test_order_is_kept_over_many_tasks(scored):
    generator = seeded("cpu", 0)
    rows = torch.randint(len(CHAIN), (700,), generator=generator)
    states = states_of(*CHAIN)[rows]
    order = torch.rand(700, 9, generator=generator).argsort(dim=1)
    assert scored()(states.gather(1, order)) == (1.0 + rows).tolist()


def test_an_empty_batch_has_no_scores(scored):
    assert scored()(states_of("CC")[:0]) == []


def test_no_word_is_scored_twice(scored, log):
    scorer = scored(partial(counted, log))
    states = states_of("CCO", "CC", "CCO", "OCC", "CC")
    assert scorer(states) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert sorted(calls(log)) == ["CC", "CCO"]
    order = torch.rand(5, 9, generator=seeded("cpu", 1)).argsort(dim=1)
    assert scorer(states.gather(1, order)) == [3.0, 2.0, 3.0, 3.0, 2.0]
    assert scorer(states_of("CC", "N")) == [2.0, 1.0]
    assert sorted(calls(log)) == ["CC", "CCO", "N"]
    assert scorer.known == 3


def test_a_known_state_is_not_sent_to_a_worker_again(scored, monkeypatch):
    scorer = scored()
    states = states_of("CCO", "CC")
    first = scorer(states)
    monkeypatch.setattr(scorer._workers, "map", None)
    assert scorer(states) == first


def test_forgetting_scores_again(scored, log):
    scorer = scored(partial(counted, log))
    scorer(states_of("CCO"))
    scorer.forget()
    assert scorer.known == 0
    assert scorer(states_of("CCO")) == [3.0]
    assert calls(log) == ["CCO", "CCO"]


def test_words_can_be_scored_directly(scored, log):
    scorer = scored(partial(counted, log))
    assert scorer.score(["CCO", None, "CC", "CCO"]) == [3.0, 0.0, 2.0, 3.0]
    assert scorer.texts(torch.cat([states_of("OCC"), states_of("FF")])) == ["CCO", None]
    assert scorer(states_of("OCC")) == [3.0]
    assert sorted(calls(log)) == ["CC", "CCO"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda reward: pickle.loads(pickle.dumps(reward))])
def test_a_copy_of_a_used_reward_knows_what_it_knew_and_works(copied, log):
    reward = ScoredReward(Scorer(partial(counted, log), Words(), num_workers=1))
    reward(states_of("CCO"))
    other = copied(reward)
    assert other(states_of("CCO", "CC")).tolist() == [3.0, 2.0]
    assert reward(states_of("CCO", "C")).tolist() == [3.0, 1.0]
    assert calls(log) == ["CCO", "CC", "C"]


def test_what_was_asked_and_what_was_done_is_counted(scored):
    scorer = scored(raises_on_cc)
    assert scorer.counts == Counts()
    scorer(torch.cat([states_of("CCO", "OCC", "CCO", "CC"), states_of("FF")]))  # CCO in two orders
    assert scorer.counts == Counts(asked=5, built=4, scored=2, failed=1)
    scorer(states_of("CCO", "CC", "N"))
    assert scorer.counts == Counts(asked=8, built=5, scored=3, failed=1)
    scorer.forget()
    scorer.score(["N", None])
    assert scorer.counts == Counts(asked=10, built=5, scored=4, failed=1)


def test_memory_is_bounded_and_the_oldest_go(scored, log):
    scorer = scored(partial(counted, log), memory=2, num_workers=1)
    assert scorer(states_of(*CHAIN[:4])) == [1.0, 2.0, 3.0, 4.0]  # a batch may be larger than the memory
    assert scorer.known == 2
    assert scorer(states_of("CCC", "CCCC")) == [3.0, 4.0]
    assert calls(log) == CHAIN[:4]
    assert scorer(states_of("C")) == [1.0]
    assert calls(log) == [*CHAIN[:4], "C"]
    assert scorer.counts == Counts(asked=7, built=5, scored=5)


class OfThisProcess(Words):
    """Whose texts are made where the scorer is; each worker says that it began."""

    in_workers = False

    def __init__(self, log):
        self.log = log

    def text(self, key):
        assert multiprocessing.parent_process() is None
        return super().text(key)

    def begin(self):
        self.log.touch()


def test_a_codec_says_where_its_texts_are_made_and_what_a_worker_does_first(scored, log):
    scorer = scored(codec=OfThisProcess(log), invalid_score=-1.0)
    assert scorer.texts(states_of("OCC", "FF")) == ["CCO", None] and not log.exists()
    assert scorer(states_of("OCC", "FF")) == [3.0, -1.0] and log.exists()


def test_a_codec_that_raises_costs_the_state_alone(scored):
    scorer = scored(codec=RefusesN(), invalid_score=-1.0)
    assert scorer(states_of("CC", "N", "C")) == [2.0, -1.0, 1.0]
    assert scorer.failures == [(f"state {states_of('N')[0].tolist()}", "ValueError: no N")]
    assert scorer(states_of("N")) == [-1.0] and scorer.counts.built == 3  # remembered


def test_a_text_for_which_there_was_no_memory_is_made_at_the_next_call(scored):
    codec = RefusesN(MemoryError())
    scorer = scored(codec=codec, invalid_score=-1.0)
    assert scorer(states_of("CC", "N")) == [2.0, -1.0]
    codec.error = None
    assert scorer(states_of("CC", "N")) == [2.0, 1.0] and scorer.counts.built == 3


class RefusesN(Words):
    in_workers = False

    def __init__(self, error: Exception | None = None):
        self.error = ValueError("no N") if error is None else error

    def text(self, key):
        text = super().text(key)
        if text == "N" and self.error is not None:
            raise self.error
        return text


def test_a_reward_is_named_by_all_that_decides_a_score(log):
    made = {
        ScoredReward(Scorer(function, codec, **options)).name
        for function, codec, options in [
            (length, Words(), {}),
            (raises_on_cc, Words(), {}),
            (length, RefusesN(), {}),
            (length, Words(), {"invalid_score": -1.0}),
            (length, Words(), {"failure_score": -1.0}),
            (length, Words(), {"timeout": 1.0}),
        ]
    }
    assert len(made) == 6
    assert ScoredReward(Scorer(length, Words(), num_workers=2, memory=3, per_task=1)).name in made


def test_what_is_no_list_of_texts_is_refused(scored):
    for given, words in [("CC", "got one str"), (3, "got one int")]:
        with pytest.raises(TypeError, match=f"texts: expected a list of str or None, {words}"):
            scored().score(given)
    with pytest.raises(TypeError, match=r"texts\[1\]: expected a str or None, got int"):
        scored().score(["C", 3])
    assert scored(invalid_score=-1.0).score(["", None]) == [-1.0, -1.0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"num_workers": 0}, ValueError, "num_workers: expected None or an integer of at least 1, got 0"),
        ({"timeout": 0.0}, ValueError, "timeout: expected seconds above 0, got 0.0"),
        ({"num_workers": 1.5}, ValueError, "num_workers: expected None or an integer of at least 1, got 1.5"),
        ({"timeout": math.nan}, ValueError, "timeout: expected seconds above 0, got nan"),
        ({"timeout": "10"}, TypeError, "timeout: expected seconds above 0, got str"),
        ({"per_task": 0}, ValueError, "per_task: expected an integer of at least 1, got 0"),
        ({"failure_score": None}, TypeError, "failure_score: expected a number, got NoneType"),
        ({"memory": 0}, ValueError, "memory: expected an integer of at least 1, got 0"),
        ({"function": 3}, TypeError, "function: expected a callable of words, got int"),
        ({"function": lambda word: 0.0}, TypeError, "function: expected one that can be pickled"),
    ],
)
def test_bad_options_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Scorer(**{"function": length, "codec": Words(), **options})
