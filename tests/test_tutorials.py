"""Every tutorial runs from top to bottom, prints what its page shows, and draws the figures that it has."""

import os
import re
from pathlib import Path

import pytest
import yaml

from scripts import tutorials

ROOT = Path(__file__).parents[1]
OF_PUBLIC_FILES = {"stories_by_a_pattern"}
ASKED_FOR = {
    "first_value",
    "smiles_generator",
    "ribosome_load",
    "digits_and_diffusers",
    "stories_by_a_pattern",
    "sampling_a_density",
    "choosing_alpha",
    "reading_the_report",
    "finetune_or_guide",
    "on_a_cluster",
}
PAGES = {page.stem: page for page in tutorials.pages()}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_its_code_prints_and_draws(name, tmp_path):
    if name in OF_PUBLIC_FILES and not os.environ.get("SVLEARN_ASSETS"):
        pytest.skip("needs the public files of stories260k: SVLEARN_ASSETS is not set")
    page = PAGES[name]
    runs = tutorials.run(page, tmp_path)
    assert runs
    for each in runs:
        assert (each.shown is None) == (not each.printed), f"{each.code}\nprinted {each.printed!r}"
        if each.shown is None:
            continue
        if each.examples:
            assert len(each.printed.splitlines()) == len(each.shown.splitlines()) and each.printed.strip()
        else:
            assert not tutorials.differences(each.shown, each.printed)
    drawn = re.findall(r"!\[[^\]]+\]\((?:[^)]*/)?(\w+\.svg)\)", page.read_text())
    assert sorted(drawn) == sorted(path.name for path in tmp_path.glob("*.svg"))
    assert all((page.parent / name).stat().st_size > 1000 for name in drawn)


def test_the_tutorials_are_there_and_in_the_navigation():
    assert not ASKED_FOR - PAGES.keys()
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in PAGES.values():
        assert str(page.relative_to(ROOT / "docs")) in navigation


def test_a_page_shows_all_that_it_prints():
    """A block without output has none to show; the command would write one that is missing."""
    for page in PAGES.values():
        text = page.read_text()
        shown = [match for match in tutorials.BLOCK.finditer(text) if match["kind"]]
        assert text.count(tutorials.END) == len(shown)  # none is left over
        assert len(list(tutorials.BLOCK.finditer(text))) == text.count("```python")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("reward 0.91 ± 0.01", "reward 0.95 ± 0.01"),  # 4 √2 · 0.01 is 0.057, so this agrees
        ("0.5 of its seconds, 10 calls", "0.7 of its seconds, 10 calls"),
        ("| A | Seconds |\n| --- | --: |\n| x | 0.1 |", "| A | Seconds |\n| - | -----: |\n| x | 20 |"),
        ("a   1", "a 1"),
    ],
)
def test_what_differs_by_chance_or_by_the_clock_agrees(shown, printed):
    assert tutorials.differences(shown, printed) == []


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("reward 0.91 ± 0.01", "reward 0.97 ± 0.01"),
        ("reward 0.91 ± 0.01", "value 0.91 ± 0.01"),
        ("10 calls", "11 calls"),
        ("one line", "one line\nand another"),
        ("| A | Seconds |\n| --- | --: |\n| 1 | 0.1 |", "| A | Seconds |\n| --- | --: |\n| 2 | 0.1 |"),
        ("-0.91 ± 0.01", "0.91 ± 0.01"),
    ],
)
def test_what_is_another_result_does_not(shown, printed):
    assert tutorials.differences(shown, printed)


def test_the_command_writes_what_was_printed():
    page = tutorials.FOLDER / "first_value.md"
    blocks = [match["code"] for match in tutorials.BLOCK.finditer(page.read_text())]
    runs = [tutorials.Run(code, "new\n" if "print(" in code else "", None, False) for code in blocks]
    text = tutorials.written(page, runs)
    assert text.count("```text\nnew\n```") == sum("print(" in code for code in blocks) == text.count(tutorials.END)


def test_no_page_is_an_orphan():
    """What mkdocs' strict build would also find, without mkdocs: pages outside the navigation, links to nowhere."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert yaml.safe_load(navigation.split("\nnav:")[1].join(["nav:", ""]))
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs')}\n" in navigation, page
