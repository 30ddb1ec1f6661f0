"""Sequences as coloured text and as logos: the heights by hand, every letter of the text, markup that a page takes."""

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from sequence_toys import ABC

from svlearn.domains.sequences.alphabet import DNA, PROTEIN, RNA, Alphabet
from svlearn.domains.sequences.drawing import WRAP, colors_of, draw_logo, draw_texts, letter_heights
from svlearn.evaluation.report.html import embed


def texts_of(markup: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(markup) if each.tag.endswith("text")]


def test_the_heights_are_shares_of_the_information_that_few_sequences_leave():
    """Of 100 sequences: all A; half A, half C; all letters alike."""
    sequences = ["AA" + "ACGT"[k % 4] for k in range(50)] + ["AC" + "ACGT"[k % 4] for k in range(50, 100)]
    few = 3 / (2 * math.log(2) * 100)
    heights = letter_heights(sequences, DNA)
    assert heights[0] == pytest.approx([2 - few, 0, 0, 0])
    assert heights[1] == pytest.approx([(1 - few) / 2, (1 - few) / 2, 0, 0])
    assert heights[2] == pytest.approx([0, 0, 0, 0], abs=1e-12)
    lone = letter_heights(["aa"], ABC)  # log2 3 = 1.585 bits, of which one sequence lacks 1.443
    assert lone == pytest.approx(np.array([[math.log2(3) - 1 / math.log(2), 0, 0]] * 2))
    assert letter_heights(["A"], DNA).tolist() == [[0, 0, 0, 0]]  # 2 bits, less 2.16


def test_the_texts_hold_every_letter_below_its_caption():
    sequence = "ACGT" * 20
    markup = draw_texts([sequence, "GGCC"], ["0.5 <&>", "b"], DNA)
    assert texts_of(markup) == ["0.5 <&>", sequence[:WRAP], sequence[WRAP:], "b", "GGCC"]
    runs = re.findall(r'<tspan fill="(#\w+)">(\w+)</tspan>', markup)
    assert runs[-2:] == [(colors_of(DNA)["G"], "GG"), (colors_of(DNA)["C"], "CC")]
    assert embed(markup).startswith("<img")


def test_letters_that_mark_up_a_page_are_text():
    assert texts_of(draw_texts(["<&a"], ["x"], Alphabet("<&a"))) == ["x", "<&a"]


def test_colours_are_of_bases_and_of_chemistry():
    assert len(set(colors_of(DNA).values())) == 4 and colors_of(RNA)["U"] == colors_of(DNA)["T"]
    acids = colors_of(PROTEIN)
    assert len(acids) == 20 and acids["D"] == acids["E"] != acids["K"] == acids["R"]
    assert len(set(colors_of(Alphabet("abcdefghij")).values())) == 10


def test_a_logo_is_one_picture_that_a_page_takes():
    pytest.importorskip("logomaker", reason="logos need logomaker: the extra `sequences`")
    markup = draw_logo(["ACGT", "ACGA", "ACCT"] * 10, DNA)
    assert embed(markup).startswith("<img") and ET.fromstring(markup).tag.endswith("svg")
    for letter in "AC":
        assert colors_of(DNA)[letter].lower() in markup.lower()
    assert not re.search(r"\d\.\d{3}", markup)
    other = draw_logo(["TTTT"] * 30, DNA).lower()
    assert colors_of(DNA)["T"].lower() in other


@pytest.mark.parametrize("draw", [lambda each: draw_texts(each, [], DNA), lambda each: draw_logo(each, DNA)])
def test_nothing_cannot_be_drawn(draw):
    with pytest.raises(ValueError, match="sequences: expected at least one, got none"):
        draw([])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="captions: expected one for each of 1 sequences, got 2"):
        draw_texts(["ACGT"], ["a", "b"], DNA)
    with pytest.raises(ValueError, match=r"sequences\[1\]: expected 4 letters, got 3"):
        draw_logo(["ACGT", "ACG"], DNA)
