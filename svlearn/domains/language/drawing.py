"""Texts below each other for a report, as SVG: prompts faint, continuations dark, each below its caption."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape

from svlearn.arguments import each_of, expect

WRAP, STEP, LINE, SIZE = 80, 8, 17, 13  # letters a line; pixels of a letter, a line and the type
MOST = 24  # lines of a text
CAPTION, FAINT, DARK = "#0072b2", "#8a949e", "#1d2127"
UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML does not allow


def draw(texts: Sequence[str], captions: Sequence[str]) -> str:
    """SVG markup of texts, each below its caption, in lines of at most 80 letters, broken between words; the prompt of
    one that knows it is faint. Of a text 24 lines are shown. What XML does not allow is shown as �.

    Raises ValueError where there is no text, or not one caption for each.
    """
    texts = [expect(text, str, "texts") for text in each_of(texts, str, "texts")]
    if not texts:
        raise ValueError("texts: expected at least one, got none")
    if len(captions) != len(texts):
        raise ValueError(f"captions: expected one for each of {len(texts)} texts, got {len(captions)}")
    rows = []
    for text, caption in zip(texts, captions):
        rows += ["", f' fill="{CAPTION}" font-weight="bold">{escape(_legal(str(caption)))}', *_drawn(text)]
    width, height = STEP * (WRAP + 2), LINE * (len(rows) + 1)
    places = [f'<text x="{STEP}" y="{LINE * place}" xml:space="preserve"' for place in range(1, len(rows) + 1)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="monospace" '
        f'font-size="{SIZE}">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(f"{place}{row}</text>" for place, row in zip(places, rows) if row)
        + "\n</svg>"
    )


def _drawn(text: str) -> list[str]:
    """A text as lines of markup: the last attributes of each, and what is in it."""
    whole, border = _legal(str(text)), len(getattr(text, "prompt", ""))
    places = list(_broken(whole))
    lines = []
    for start, end in places[:MOST]:
        middle = min(max(border, start), end)
        parts = ((FAINT, whole[start:middle]), (DARK, whole[middle:end]))
        spans = "".join(f'<tspan fill="{color}">{escape(part)}</tspan>' for color, part in parts if part)
        length = STEP * sum(map(_columns, whole[start:end]))
        lines.append(f' textLength="{length}">{spans}' if spans else "")
    if len(places) > MOST:
        lines.append(f' fill="{FAINT}">… ({len(whole)} characters)')
    return lines


def _broken(text: str) -> Iterator[tuple[int, int]]:
    """Where each line of a text begins and ends, the white space at its end left out."""
    start = 0
    for paragraph in text.split("\n"):
        last = start + len(paragraph)
        place = start
        while True:
            end, columns = place, 0
            while end < last and columns + _columns(text[end]) <= WRAP:
                columns += _columns(text[end])
                end += 1
            space = text.rfind(" ", place, end + 1) if end < last else -1
            if space > place:
                end = space
            yield place, place + len(text[place:end].rstrip())
            place = end
            while place < last and text[place] == " ":
                place += 1
            if place >= last:
                break
        start = last + 1


def _columns(letter: str) -> int:
    """How many letters wide it is."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _legal(text: str) -> str:
    """As many letters, all of which XML allows."""
    return UNSEEN.sub("\ufffd", text).replace("\t", " ").replace("\r", " ")
