"""Draw sequences as SVG for a report: as text coloured by letter, and many of them as a sequence logo."""

import io
import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from svlearn.arguments import each_of
from svlearn.domains.sequences.alphabet import Alphabet
from svlearn.evaluation.report.figures import COLORS, color_of

BLUE, ORANGE, GREEN, PINK, YELLOW, _, BROWN, GREY = COLORS
NUCLEOTIDES = {"A": GREEN, "C": BLUE, "G": YELLOW, "T": ORANGE, "U": ORANGE}
GROUPS = {"AVLIMC": BROWN, "FWY": PINK, "STNQ": GREEN, "GP": YELLOW, "DE": ORANGE, "KRH": BLUE}
AMINO_ACIDS = {letter: color for group, color in GROUPS.items() for letter in group}
WRAP, STEP, LINE, SIZE = 60, 8, 17, 13  # letters a line; pixels of a letter, a line and the type
LETTER, HEIGHT = 0.16, 1.3  # inches of a logo, a letter and all


def colors_of(alphabet: Alphabet) -> dict[str, str]:
    """A colour for each letter: that of its base, of its amino acid's chemistry, or of its place in the alphabet."""
    for known in (NUCLEOTIDES, AMINO_ACIDS):
        if set(alphabet.letters) <= known.keys():
            return {letter: known[letter] for letter in alphabet.letters}
    return {letter: color_of(place) for place, letter in enumerate(alphabet.letters)}


def draw_texts(sequences: Sequence[str], captions: Sequence[str], alphabet: Alphabet) -> str:
    """SVG markup of sequences, each below its caption, their letters coloured, at most 60 a line.

    Raises ValueError where there is none, or not one caption for each.
    """
    sequences = _some(sequences)
    if len(captions) != len(sequences):
        raise ValueError(f"captions: expected one for each of {len(sequences)} sequences, got {len(captions)}")
    colors, lines = colors_of(alphabet), []
    for sequence, caption in zip(sequences, captions):
        lines.append(f'fill="#5c6570">{escape(caption)}')
        for start in range(0, len(sequence), WRAP):
            part = sequence[start : start + WRAP]
            runs = ((color, "".join(run)) for color, run in groupby(part, lambda letter: colors.get(letter, GREY)))
            spans = "".join(f'<tspan fill="{color}">{escape(run)}</tspan>' for color, run in runs)
            lines.append(f'font-family="monospace" font-weight="bold" textLength="{STEP * len(part)}">{spans}')
    width = 2 * STEP + max(STEP * min(WRAP, max(map(len, sequences))), 7 * max(map(len, captions)))
    height = LINE * (len(lines) + 1)
    texts = [f'<text x="{STEP}" y="{LINE * (row + 1)}" {line}</text>' for row, line in enumerate(lines)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="{SIZE}">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(texts) + "\n</svg>"
    )


def letter_heights(sequences: Sequence[str], alphabet: Alphabet) -> NDArray[np.float64]:
    """The heights of a logo's letters (L, V), bits, of N sequences: h_lv = p_lv max(0, log2 V - H_l - e), where p are
    the shares, H_l the entropy of place l and e = (V - 1)/(2 N ln 2) what it lacks by there being few.

    Raises ValueError for none, sequences of several lengths and letters outside the alphabet.
    Source: Schneider and Stephens, Nucleic Acids Research 18, 6097 (1990).
    """
    tokens = alphabet.encode(_some(sequences)).numpy()
    shares = (tokens[:, :, None] == np.arange(alphabet.size)).mean(axis=0)
    entropies = -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    few = (alphabet.size - 1) / (2 * np.log(2) * len(tokens))
    return shares * np.maximum(0.0, np.log2(alphabet.size) - entropies - few)[:, None]


def draw_logo(sequences: Sequence[str], alphabet: Alphabet) -> str:
    """SVG markup of the sequence logo of all of them (`letter_heights`), drawn by logomaker. ImportError without it."""
    heights = letter_heights(sequences, alphabet)
    logomaker = _import_logomaker()
    frame = pd.DataFrame(heights, columns=list(alphabet.letters))
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "logo", "font.size": 9}):
        figure = Figure(figsize=(0.8 + LETTER * max(len(frame), 12), HEIGHT), layout="constrained")
        axes: Any = figure.subplots()
        logomaker.Logo(frame, ax=axes, color_scheme=colors_of(alphabet), show_spines=False)
        axes.set_ylim(0, np.log2(alphabet.size))
        axes.set_ylabel("bits")
        ticks = list(range(9, len(frame), 10)) or [len(frame) - 1]
        axes.set_xticks(ticks, [str(place + 1) for place in ticks])
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    return re.sub(r"(\d\.\d\d)\d+", r"\1", text[text.index("<svg") :])  # a hundredth of a point is not seen


def _some(sequences: Sequence[str]) -> list[str]:
    sequences = each_of(sequences, str, "sequences")
    if not sequences:
        raise ValueError("sequences: expected at least one, got none")
    return sequences


def _import_logomaker() -> Any:
    try:
        import logomaker
    except ImportError as error:
        raise ImportError("sequence logos need logomaker: pip install 'svlearn[sequences]'") from error
    return logomaker
