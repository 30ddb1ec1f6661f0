"""Texts drawn for a report: what is read from the markup is what was written, whatever it holds."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from svlearn.domains.language.drawing import DARK, FAINT, MOST, STEP, WRAP, draw
from svlearn.evaluation.report.html import embed

SVG = "{http://www.w3.org/2000/svg}"


class Said(str):
    """A text that knows its prompt."""

    def __new__(cls, prompt, continuation):
        text = super().__new__(cls, prompt + continuation)
        text.prompt = prompt
        return text


def lines_of(markup):
    """The texts of the lines, and of each its parts by colour."""
    root = ElementTree.fromstring(markup)
    lines = root.findall(f"{SVG}text")
    return ["".join(line.itertext()) for line in lines], [
        [(part.get("fill"), part.text) for part in line] for line in lines
    ]


def test_a_text_stands_below_its_caption_its_prompt_faint():
    markup = draw([Said("Once upon", " a time."), "The end."], ["0.93", "-1.2"])
    lines, parts = lines_of(markup)
    assert lines == ["0.93", "Once upon a time.", "-1.2", "The end."]
    assert parts[1] == [(FAINT, "Once upon"), (DARK, " a time.")] and parts[3] == [(DARK, "The end.")]
    assert embed(markup).startswith("<img")


def test_all_that_is_in_a_text_is_escaped():
    text = Said("</tspan><script>alert('x')</script>", " & \"<b>\" &amp; ]]> 'é' 猫")
    markup = draw([text], ["<i>1 & 2</i>"])
    assert "<script" not in markup and "<i>" not in markup and "<b>" not in markup
    lines, parts = lines_of(markup)
    assert lines == ["<i>1 & 2</i>", str(text)]
    assert "".join(text for _, text in parts[1]) == str(text)


def test_what_xml_does_not_allow_is_shown_as_one_letter():
    text = "a\x00b\x1b\ud800c\uffff\td\r"
    lines, _ = lines_of(draw([text], ["\x07"]))
    assert lines == ["\ufffd", "a\ufffdb\ufffd\ufffdc\ufffd d"]
    embed(draw([text], [""]))


def test_lines_are_broken_between_words_and_where_there_are_none():
    words = " ".join(["seven77"] * 40)
    lines, _ = lines_of(draw([words], ["1"]))
    assert lines[1:] == [" ".join(["seven77"] * 10)] * 4  # 79 letters
    lines, _ = lines_of(draw(["x" * 200], ["1"]))
    assert [len(line) for line in lines[1:]] == [80, 80, 40]
    exact = "x" * 80 + " " + "y" * 80
    assert lines_of(draw([exact], ["1"]))[0][1:] == ["x" * 80, "y" * 80]
    lines, _ = lines_of(draw(["猫" * 50], ["1"]))
    assert [len(line) for line in lines[1:]] == [40, 10]


def test_the_lines_of_a_text_are_kept():
    markup = draw([Said("One.\n\n  Two", " three.\n")], ["1"])
    lines, parts = lines_of(markup)
    assert lines == ["1", "One.", "  Two three."] and parts[2] == [(FAINT, "  Two"), (DARK, " three.")]
    root = ElementTree.fromstring(markup)
    heights = [int(line.get("y")) for line in root.findall(f"{SVG}text")]
    assert [b - a for a, b in pairwise(heights)] == [17, 34] and int(root.get("height")) > heights[-1] + 17


def test_a_line_has_the_length_of_its_letters():
    root = ElementTree.fromstring(draw(["ab 猫 e\u0301"], ["1"]))
    line = root.findall(f"{SVG}text")[1]
    assert int(line.get("textLength")) == STEP * 7 <= int(root.get("width")) == STEP * (WRAP + 2)


def test_a_long_text_is_cut_and_said():
    lines, _ = lines_of(draw(["a\n" * 100], ["1"]))
    assert lines[-1] == "… (200 characters)" and len(lines) == 1 + MOST + 1
    assert lines_of(draw(["", " "], ["1", "2"]))[0] == ["1", "2"]


@pytest.mark.parametrize(
    ("texts", "captions", "error", "words"),
    [
        ([], [], ValueError, "texts: expected at least one, got none"),
        (["a"], ["1", "2"], ValueError, "captions: expected one for each of 1 texts, got 2"),
        ("a", ["1"], TypeError, "texts: expected a list of str or None, got one str"),
        ([3], ["1"], TypeError, r"texts\[0\]: expected a str or None, got int"),
        ([None], ["1"], TypeError, "texts: expected a str, got NoneType"),
    ],
)
def test_what_cannot_be_drawn_is_refused(texts, captions, error, words):
    with pytest.raises(error, match=words):
        draw(texts, captions)
