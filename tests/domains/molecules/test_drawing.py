"""Pictures of molecules: what is in them, and that they fit into a page."""

import re
import struct
from xml.etree import ElementTree

import pytest
from rdkit import Chem

from svlearn.domains.molecules.drawing import CELL_HEIGHT, CELL_WIDTH, draw_grid, save_png

SVG = "{http://www.w3.org/2000/svg}"
MOLECULES = [Chem.MolFromSmiles("CCO"), None, Chem.MolFromSmiles("c1ccccc1"), Chem.MolFromSmiles("C.O")]


def paths(markup: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(markup).findall(f".//{SVG}path")


def cells(markup: str) -> set[tuple[int, int]]:
    """(row, column) of every cell in which something is drawn."""
    starts = (re.match(r"M ([\d.]+)[ ,]([\d.]+)", path.get("d", "")) for path in paths(markup))
    return {(int(float(m[2]) // CELL_HEIGHT), int(float(m[1]) // CELL_WIDTH)) for m in starts if m is not None}


def test_the_grid_is_one_svg_element_that_a_page_can_hold():
    markup = draw_grid(MOLECULES, ["a", "b", "c", "d"], columns=2)
    root = ElementTree.fromstring(f"<div>{markup}{markup}</div>")
    assert [child.tag for child in root] == [f"{SVG}svg"] * 2
    assert not re.search(r"\sid=|<style|<\?xml|<!DOCTYPE", markup)
    assert root[0].get("width") == f"{2 * CELL_WIDTH}px"
    assert root[0].get("height") == f"{2 * CELL_HEIGHT}px"


def test_every_molecule_has_its_own_cell():
    assert cells(draw_grid(MOLECULES, ["a", "b", "c", "d"], columns=3)) == {(0, 0), (0, 1), (0, 2), (1, 0)}
    assert cells(draw_grid(MOLECULES, ["a", "b", "c", "d"])) == {(0, 0), (0, 1), (0, 2), (0, 3)}


def test_every_caption_is_drawn_but_that_of_an_invalid_molecule():
    markup = draw_grid(MOLECULES, ["xy", "hidden", "z", ""])
    letters = [path for path in paths(markup) if path.get("class") == "legend"]
    assert len(letters) == len("xy" + "z")


def test_an_invalid_molecule_is_a_cell_that_says_so():
    valid, invalid = (draw_grid([molecule], ["a"]) for molecule in (MOLECULES[0], None))
    assert [path for path in paths(valid) if "bond-" in path.get("class", "")]
    assert len(paths(invalid)) == len("invalid")
    assert len({path.get("fill") for path in paths(invalid)}) == 1
    assert draw_grid([Chem.Mol()], ["a"]) == invalid


def test_a_caption_may_have_any_signs():
    ElementTree.fromstring(draw_grid(MOLECULES[:1], ["r < 0.5 & \"q\" > '1'"]))


def test_a_molecule_that_breaks_the_rules_is_drawn_too():
    five = Chem.MolFromSmiles("CC(C)(C)(C)C", sanitize=False)
    assert len([path for path in paths(draw_grid([five], [""])) if "bond-" in path.get("class", "")]) >= 5


def test_drawing_leaves_the_molecules_as_they_are():
    molecule = Chem.MolFromSmiles("c1ccccc1")
    draw_grid([molecule], ["a"])
    assert molecule.GetNumConformers() == 0
    assert Chem.MolToSmiles(molecule) == "c1ccccc1"


def test_a_png_has_the_size_of_the_grid(tmp_path):
    save_png(MOLECULES, ["a", "b", "c", "d"], tmp_path / "grid.png", columns=3)
    content = (tmp_path / "grid.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (3 * CELL_WIDTH, 2 * CELL_HEIGHT)


@pytest.mark.parametrize(
    ("molecules", "captions", "columns", "words"),
    [
        ([], [], 6, "molecules: expected at least one, got none"),
        (MOLECULES, ["a"], 6, "captions: expected one for each of 4 molecules, got 1"),
        (MOLECULES[:1], ["a"], 0, "columns: expected an integer of at least 1, got 0"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(molecules, captions, columns, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw_grid(molecules, captions, columns)
    with pytest.raises(ValueError, match=words):
        save_png(molecules, captions, tmp_path / "grid.png", columns)
