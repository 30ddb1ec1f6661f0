"""A comparison keeps what is done: failures of samplers, decode, describe and draw, interrupts, and partial files."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from svlearn.evaluation.compare import compare
from svlearn.evaluation.partial import Partial
from svlearn.inference.samplers import ancestral, best_of_n, smc
from svlearn.policies import Controlled
from svlearn.process import Reference, has
from svlearn.targets import Target
from svlearn.values import Zero


class Nothing(torch.nn.Module):
    """A control of 0."""

    def forward(self, x, t):
        return torch.zeros_like(x)


class Failing:
    """A reward that raises at its n-th call."""

    def __init__(self, error, at=1):
        self.error, self.at, self.calls = error, at, 0

    def __call__(self, x):
        self.calls += 1
        if self.calls >= self.at:
            raise self.error
        return x.squeeze(1)


def with_failure(walk, target, error, at=1):
    return {
        "good": ancestral(walk, target),
        "bad": ancestral(walk, Target(Failing(error, at), 1.0)),
        "best": best_of_n(walk, target, 3),
    }


@pytest.mark.filterwarnings("ignore:.*different reward objects")
def test_one_failing_sampler_leaves_the_others(walk, target, tmp_path):
    error = RuntimeError("the <b>disk</b>\nis full")
    with pytest.warns(UserWarning, match="bad failed, seed 0: RuntimeError: the <b>disk</b> is full"):
        comparison = compare(with_failure(walk, target, error), 9)
    alone = compare({"good": ancestral(walk, target), "best": best_of_n(walk, target, 3)}, 9)
    for name in ("good", "best"):
        assert np.array_equal(comparison.rewards[name], alone.rewards[name])
    assert list(comparison.figures) == ["good", "best"] and list(comparison.failures) == ["bad"]
    table = comparison.table
    assert list(table.index) == ["good", "best", "bad"] and math.isnan(table.loc["bad", "mean_reward"])
    assert table["failure"].tolist() == ["", "", "seed 0: RuntimeError: the <b>disk</b> is full"]
    page = comparison.to_html(tmp_path / "a.html").read_text()
    assert page.count("the &lt;b&gt;disk&lt;/b&gt; is full") >= 2 and "<b>" not in page
    assert "RuntimeError" in comparison.to_markdown() and "RuntimeError" in str(comparison)
    assert json.loads(comparison.to_json(tmp_path / "a.json").read_text())["failures"] == comparison.failures
    read = pd.read_csv(comparison.to_csv(tmp_path / "a.csv"), index_col="sampler")
    assert "disk" in read.loc["bad", "failure"]
    assert [sentence.split(" reaches ")[0] for sentence in comparison.verdicts()] == ["best"]


@pytest.mark.filterwarnings("ignore:.*different reward objects")
def test_finished_seeds_count_and_errors_can_be_raised(walk, target):
    samplers = with_failure(walk, target, MemoryError("none left"), at=2)
    with pytest.warns(UserWarning, match="bad failed, seed 5"):
        comparison = compare(samplers, 4, seed=[3, 5])
    assert comparison.table["num_seeds"].tolist() == [2, 1, 2] and "MemoryError" in comparison.failures["bad"]
    with pytest.raises(MemoryError, match="none left"):
        compare(with_failure(walk, target, MemoryError("none left")), 4, errors="raise")
    with pytest.raises(MemoryError, match="none left"):  # nothing is done
        compare({"bad": with_failure(walk, target, MemoryError("none left"))["bad"]}, 4)


@pytest.mark.filterwarnings("ignore:.*different reward objects")
def test_an_interrupt_returns_what_is_done(walk, target):
    with pytest.warns(UserWarning, match="best failed, not run: the comparison was interrupted"):
        comparison = compare(with_failure(walk, target, KeyboardInterrupt()), 4)
    assert list(comparison.figures) == ["good"] and list(comparison.failures) == ["bad", "best"]
    with pytest.raises(KeyboardInterrupt):
        compare(with_failure(walk, target, KeyboardInterrupt()), 4, errors="raise")


@pytest.mark.parametrize("part", ["decode", "describe", "draw", "overview"])
def test_a_part_that_raises_costs_itself_and_a_note(walk, target, tmp_path, part):
    def broken(self, *arguments):
        raise ZeroDivisionError(f"no {part}")

    reference = type("Broken", (type(walk),), {part: broken})()
    samplers = {"a": ancestral(reference, target)}
    if part in ("draw", "overview"):
        with pytest.warns(UserWarning, match=f"Tried on two samples before the run: .*Broken.{part}: no {part}"):
            comparison = compare(samplers, 5)
        assert f"Broken.{part}: no {part}" in comparison.notes[0]
        assert f"ZeroDivisionError: no {part}" in comparison.to_html(tmp_path / "a.html").read_text()
        return
    with pytest.warns(UserWarning, match=f"no {part}"):
        comparison = compare(samplers, 5)
    assert len(comparison.rewards["a"]) == 5 and f"no {part}" in comparison.notes[0]
    assert "positive" not in comparison.table.columns and (part == "decode") == ("a" not in comparison.galleries)
    assert f"no {part}" in comparison.to_html(tmp_path / "a.html").read_text()
    with pytest.raises(ZeroDivisionError):
        compare(samplers, 5, errors="raise")


@pytest.mark.parametrize("part", ["decode", "describe", "draw", "overview"])
def test_what_cannot_be_shown_is_known_before_a_sample_is_drawn(walk, part):
    def broken(self, *arguments):
        raise ZeroDivisionError(f"no {part}")

    reference = type("Broken", (type(walk),), {part: broken})()
    never = ancestral(reference, Target(Failing(AssertionError("drawn before")), 1.0))
    with pytest.raises(ZeroDivisionError, match=f"no {part}"):
        compare({"a": never}, 5, errors="raise")


@pytest.mark.parametrize("of_policy", [False, True])
def test_a_reference_without_decode_is_not_asked_for_it(walk, target, of_policy):
    kind = type("Plain", (type(walk),), {name: getattr(Reference, name) for name in ("decode", "describe", "draw")})
    process = Controlled(kind(), Nothing()) if of_policy else kind()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = compare({"a": ancestral(process, target)}, 5, errors="raise")
    assert comparison.notes == () and "a" not in comparison.galleries
    shown = Controlled(walk, Nothing())
    assert all(has(shown, name) == has(walk, name) for name in ("decode", "describe", "draw", "noise"))
    assert compare({"a": ancestral(shown, target)}, 5).table.loc["a", "positive"] >= 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"seed": None}, ValueError, "seed: expected an integer of at least 0, got None"),
        ({"seed": True}, ValueError, "seed: expected an integer of at least 0, got True"),
        ({"max_batch": 2.0}, ValueError, "max_batch: expected None or an integer of at least 1, got 2.0"),
        ({"calibrations": {"a": [1]}}, TypeError, r"calibrations\['a'\]: expected a DataFrame, got list"),
    ],
)
def test_what_is_wrong_is_said_before_a_sample_is_drawn(walk, options, error, words):
    never = ancestral(walk, Target(Failing(AssertionError("drawn before")), 1.0))
    with pytest.raises(error, match=words):
        compare({"a": never}, 5, **options)
    for samplers, name in (([never], "list"), (never, "Sampler")):
        with pytest.raises(TypeError, match=f"samplers: expected a dict, got {name}"):
            compare(samplers, 5)
    with pytest.raises(TypeError, match="samplers: each name: expected a str, got int"):
        compare({1: never}, 5)


def test_numbers_of_numpy_and_half_a_character_can_be_written(walk, target, tmp_path):
    written = compare({"a\ud800": ancestral(walk, target)}, np.int64(5), max_batch=np.int64(2), seed=np.array([1, 2]))
    assert "a\\ud800" in written.to_html(tmp_path / "a.html").read_text()
    read = json.loads(written.to_json(tmp_path / "a.json").read_text())
    assert list(read["figures"]) == ["a\ud800"] and read["provenance"]["max_batch"] == 2
    written.to_csv(tmp_path / "a.csv")


def test_two_samples_more_are_in_no_costs(walk, target):
    comparison = compare({"a": ancestral(walk, target)}, 5)
    assert comparison.table.loc["a", "reference_calls_per_sample"] == walk.num_steps


def test_a_partial_file_gives_back_what_is_done(walk, target, tmp_path):
    floor = Target(lambda x: torch.where(x.squeeze(1) > 0, x.squeeze(1), -math.inf), 1.0)
    value_free = {"a": ancestral(walk, floor), "smc": smc(walk, floor, Zero(), 4)}
    path = tmp_path / "deep" / "partial.json"
    whole = compare(value_free, 6, seed=[1, 2], partial=Partial(path, {"what": 1}))
    never = Target(Failing(AssertionError("drawn again")), 1.0)
    failing = {name: ancestral(walk, never) for name in value_free}
    again = compare(failing, 6, seed=[1, 2], partial=Partial(path, {"what": 1}))
    for name in value_free:
        assert np.array_equal(again.rewards[name], whole.rewards[name])
        pd.testing.assert_frame_equal(again.curves[name], whole.curves[name])
    pd.testing.assert_frame_equal(again.table, whole.table)
    for request, number, key in (({"what": 2}, 6, "what"), ({"what": 1}, 7, "num_samples"), ({}, 6, "what")):
        with pytest.raises(ValueError, match=f"expected outcomes of this request, got those of one with another {key}"):
            compare(value_free, number, seed=[1, 2], partial=Partial(path, request))
    fresh = compare(value_free, 7, seed=[1, 2], partial=Partial(path, {}, resume=False))
    assert fresh.figures["a"]["num_samples"] == 14
    for text in ("", "[]", '{"request": {}}', '{"request": 3, "samplers": {}}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ValueError, match="partial.json: expected the partial file of a comparison, got another"):
            compare(value_free, 6, partial=Partial(path, {}))


@pytest.mark.parametrize(
    ("part", "broken"),
    [("figures", 3), ("curves", []), ("rewards", ["a"]), ("rewards", [10**400]), ("rewards", [[1.0]]), ("texts", 3)],
)
def test_a_broken_outcome_is_one_error_that_names_the_file(walk, target, tmp_path, part, broken):
    path = tmp_path / "partial.json"
    samplers = {"a": ancestral(walk, target)}
    compare(samplers, 4, partial=Partial(path, {}))
    content = json.loads(path.read_text())
    content["samplers"]["a"][part] = broken
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"partial\.json: expected outcomes of samplers, got a broken one"):
        compare(samplers, 4, partial=Partial(path, {}))


@pytest.mark.filterwarnings("ignore:.*different reward objects")
def test_a_sampler_that_failed_is_not_kept(walk, target, tmp_path):
    path = tmp_path / "partial.json"
    with pytest.warns(UserWarning, match="bad failed"):
        compare(with_failure(walk, target, OSError("no")), 4, partial=Partial(path, {}))
    assert set(json.loads(path.read_text())["samplers"]) == {"good", "best"}


@pytest.mark.filterwarnings("ignore:.*different reward objects")
def test_a_partial_file_that_cannot_be_written_costs_a_warning(walk, target, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="was not written: "):
        comparison = compare({"a": ancestral(walk, target)}, 4, partial=Partial(tmp_path / "file" / "partial.json", {}))
    assert list(comparison.figures) == ["a"]


def test_text_samples_are_shown_and_kept(walk, target, tmp_path):
    class Text(type(walk)):
        draw = Reference.draw

        def decode(self, x):
            return [f"ACGT <i>{number:.2f}</i>\nGC" for number in x.squeeze(1).tolist()]

        def describe(self, objects):
            return {"GC_content": 0.5, "mean_pH": 7.0}

    path = tmp_path / "partial.json"
    for _ in range(2):
        comparison = compare({"a": ancestral(Text(), target)}, 5, partial=Partial(path, {}))
        page = comparison.to_html(tmp_path / "a.html").read_text()
        for text, _ in comparison.galleries["a"].best:
            assert text.replace("<", "&lt;").replace(">", "&gt;") in page
        assert "<i>" not in page and "GC content" in page and "Mean pH" in page
