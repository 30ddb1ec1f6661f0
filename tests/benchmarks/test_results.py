"""Results that a second run goes on from: what is there is not made again, and no part of another run is lost."""

import json

import pytest

from benchmarks.common import paths
from benchmarks.common.pages import markdown_table, not_measured, quote, write_pages
from benchmarks.common.results import Results


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    return Results("study", {"batches": {}})


def test_what_is_empty_stays_so(results):
    results.read()["batches"]["a"] = 1
    assert results.read() == {"batches": {}} and not results.path.exists()


def test_a_part_is_made_once(results):
    made = []
    for name in ("a", "b", "a"):
        results.finish(lambda name=name: made.append(name) or [name], "batches", name)
    assert made == ["a", "b"] and results.read() == {"batches": {"a": ["a"], "b": ["b"]}}
    assert not results.finish(lambda: made.append("c"), "batches", "a")
    assert results.finish(lambda: "anew", "batches", "a", again=True) and results.read()["batches"]["a"] == "anew"


def test_a_part_may_stand_at_the_top(results):
    assert results.finish(lambda: 3, "memory") and results.read() == {"batches": {}, "memory": 3}


def test_a_part_that_older_results_do_not_know_is_empty(results):
    results.write({"other": 1})
    assert results.read() == {"other": 1, "batches": {}}
    assert results.finish(lambda: 2, "batches", "a") and results.read() == {"other": 1, "batches": {"a": 2}}


def test_what_another_run_finishes_meanwhile_is_kept(results):
    """And what goes with the parts sees it too."""

    def slow():
        results.finish(lambda: "theirs", "batches", "b")
        return "ours"

    results.finish(slow, "batches", "a", complete=lambda held: held.update(count=len(held["batches"])))
    assert results.read() == {"batches": {"b": "theirs", "a": "ours"}, "count": 2}


def test_a_part_that_fails_leaves_what_was_there(results):
    results.finish(lambda: 1, "batches", "a")
    before = results.path.read_bytes()

    def fail():
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        results.finish(fail, "batches", "b")
    with pytest.raises(ValueError, match="JSON"):
        results.finish(lambda: float("nan"), "batches", "b")
    assert results.path.read_bytes() == before


def test_nan_is_kept_where_it_may_be(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    results = Results("study", allow_nan=True)
    results.finish(lambda: float("inf"), "bound")
    assert results.read() == {"bound": float("inf")}


@pytest.mark.parametrize("path", sorted(paths.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_results_that_are_there_would_be_written_as_they_are(path, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    results = Results(path.stem)
    results.write(json.loads(path.read_text(encoding="utf-8")))
    assert results.path.read_bytes() == path.read_bytes()


def test_a_table_by_hand():
    assert (
        markdown_table(["Row", "n"], [["a", "1"], ["b", "2"]]) == "| Row | n |\n| --- | --: |\n| a | 1 |\n| b | 2 |\n"
    )
    assert markdown_table(["a", "b", "c"], [], left=2).splitlines()[1] == "| --- | --- | --: |"


def test_a_part_of_a_page_is_replaced():
    page = "before\n<!-- table -->\nold\n<!-- /table -->\nafter\n"
    assert quote(page, "table", "new\n") == page.replace("old", "new")
    assert quote(quote(page, "table", "new\n"), "table", "old\n") == page
    for broken in ("nothing", "<!-- table -->\n", "<!-- /table -->"):
        with pytest.raises(ValueError, match="page: expected <!-- table --> and <!-- /table --> in it, got"):
            quote(broken, "table", "new")


def test_pages_are_written(tmp_path):
    write_pages({tmp_path / "new/page.md": not_measured("A title", "search")})
    page = (tmp_path / "new/page.md").read_text()
    assert page == "# A title\n\nNot yet measured: run `python -m benchmarks search`.\n"
