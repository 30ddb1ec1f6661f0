"""Draw molecules side by side, as SVG for a report or as a PNG file; an invalid one is a cell that says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Geometry import Point2D

CELL_WIDTH, CELL_HEIGHT = 150, 130  # pixels, as the next two
BOND_LENGTH, FONT_SIZE = 25, 14
GREY = (0.5, 0.5, 0.5)


def draw_grid(molecules: Sequence[Chem.Mol | None], captions: Sequence[str], columns: int = 6) -> str:
    """SVG markup of molecules, row by row, each over its caption; for None a cell that says "invalid".

    The markup can be put into an HTML page as it is: it has no XML header and no ids or styles that could clash.
    Text is drawn as paths. Raises ValueError where there is no molecule, or not one caption for each.
    """
    width, height = _grid(molecules, captions, columns)
    canvas = rdMolDraw2D.MolDraw2DSVG(width, height, CELL_WIDTH, CELL_HEIGHT)
    _draw(canvas, molecules, captions)
    markup = canvas.GetDrawingText()
    head, _, body = markup[markup.index("<svg") :].strip().partition(">")
    return f"{head}>\n<rect width='100%' height='100%' fill='white'/>{body}"  # dark pages too must show black bonds


def save_png(molecules: Sequence[Chem.Mol | None], captions: Sequence[str], path: str | Path, columns: int = 6) -> None:
    """Write the picture of `draw_grid` as a PNG file."""
    width, height = _grid(molecules, captions, columns)
    canvas = rdMolDraw2D.MolDraw2DCairo(width, height, CELL_WIDTH, CELL_HEIGHT)
    _draw(canvas, molecules, captions)
    Path(path).write_bytes(canvas.GetDrawingText())


def _grid(molecules: Sequence[Chem.Mol | None], captions: Sequence[str], columns: int) -> tuple[int, int]:
    """The size of the picture in pixels."""
    if len(molecules) == 0:
        raise ValueError("molecules: expected at least one, got none")
    if len(captions) != len(molecules):
        raise ValueError(f"captions: expected one for each of {len(molecules)} molecules, got {len(captions)}")
    if columns < 1:
        raise ValueError(f"columns: expected an integer of at least 1, got {columns}")
    columns = min(columns, len(molecules))
    return columns * CELL_WIDTH, -(-len(molecules) // columns) * CELL_HEIGHT


def _draw(canvas: rdMolDraw2D.MolDraw2D, molecules: Sequence[Chem.Mol | None], captions: Sequence[str]) -> None:
    options: Any = canvas.drawOptions()  # RDKit's stubs have the wrong types for its fields
    options.clearBackground = False  # else each molecule would wipe out the ones before
    options.fixedBondLength = BOND_LENGTH
    options.maxFontSize = options.legendFontSize = FONT_SIZE
    options.padding = 0.08
    canvas.ClearDrawing()
    columns = canvas.Width() // CELL_WIDTH
    for place, (molecule, caption) in enumerate(zip(molecules, captions)):
        row, column = divmod(place, columns)
        canvas.SetOffset(column * CELL_WIDTH, row * CELL_HEIGHT)
        if molecule is not None and molecule.GetNumAtoms():
            rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule, legend=caption)
        else:
            canvas.SetColour(GREY)
            canvas.SetFontSize(FONT_SIZE)
            middle = Point2D((column + 0.5) * CELL_WIDTH, (row + 0.5) * CELL_HEIGHT)  # raw: pixels of the picture
            canvas.DrawString("invalid", middle, 0, rawCoords=True)
    canvas.FinishDrawing()
