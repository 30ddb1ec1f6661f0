"""The figures of docs/leaderboards/digits.md, SVG files drawn from benchmarks/results/digits.json."""

import base64
import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.common.figures import plain_ticks, style, svg
from benchmarks.digits.findings import Cell, gather
from benchmarks.digits.problem import ALPHAS, CLASSES
from svlearn.evaluation.report.figures import COLORS, MARKERS

ACCURACY, PICTURES = "digits_accuracy.svg", "digits_samples.svg"
SHOWN = ALPHAS[1]  # the alpha of the pictures
TICKS = [base * 10**power for power in range(1, 5) for base in (1, 2, 5)]
SIDE, GAP = 28, 2


def figures(held: dict) -> dict[str, str]:
    """SVG by file name, as far as there are rows."""
    cells = [cell for cell in gather(held) if not cell.by_flow]
    exact = held["data"].get("plain samples", {}).get("weighed", {})
    return {ACCURACY: accuracies(cells, exact), PICTURES: pictures(cells, SHOWN)} if cells else {}


def accuracies(cells: list[Cell], exact: dict[str, dict]) -> str:
    """Accuracy by the judge against calls of the networks, a panel for each alpha; exact: of p*, by alpha."""
    names = list(dict.fromkeys(cell.name for cell in cells))
    with style("digits"):
        figure = Figure(figsize=(10.4, 4.4))
        panels = figure.subplots(1, len(ALPHAS), sharey=True)
        panels[0].set_ylabel("share of the wanted class, by the judge", fontsize=8)
        for axes, alpha in zip(panels, ALPHAS, strict=True):
            axes.set(xscale="log", xlabel="calls of the networks, an image", title=f"alpha = {alpha:g}")
            for place, name in enumerate(names):
                for cell in cells:
                    if cell.name == name and cell.alpha in (alpha, None):
                        axes.errorbar(
                            cell.calls,
                            *cell.accuracy,
                            label=name,
                            linestyle="none",
                            markersize=5,
                            capsize=2,
                            color=COLORS[place % len(COLORS)],
                            marker=MARKERS[(place + place // 8) % 8],
                        )
            if (own := exact.get(f"{alpha:g}")) is not None:
                accuracy, error = own["accuracy"]
                axes.axhspan(accuracy - error, accuracy + error, color="0.85", label="p* itself", zorder=0)
            low, high = axes.get_xlim()
            plain_ticks(axes.xaxis, [tick for tick in TICKS if low <= tick <= high])
        return svg(figure, panels[0], columns=4)


def pictures(cells: list[Cell], alpha: float) -> str:
    """One image of each class (columns) by each row, at an alpha, as SVG."""
    rows = [cell for cell in cells if cell.alpha in (alpha, None)]
    page = np.full((len(rows) * (SIDE + GAP), CLASSES * (SIDE + GAP)), 255, dtype=np.uint8)
    for place, cell in enumerate(rows):
        images = np.frombuffer(base64.b64decode(cell.first), dtype=np.uint8).reshape(CLASSES, SIDE, SIDE)
        for column, image in enumerate(images):
            top, left = place * (SIDE + GAP), column * (SIDE + GAP)
            page[top : top + SIDE, left : left + SIDE] = image
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "PNG")
    data, (height, width) = base64.b64encode(buffer.getvalue()).decode(), page.shape
    names = "".join(
        f'<text x="{width + 6}" y="{place * (SIDE + GAP) + SIDE * 0.65:g}">{cell.name}</text>'
        for place, cell in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 210} {height}" width="{1.5 * (width + 210):g}">'
        f'<rect width="100%" height="100%" fill="white"/><g font-family="sans-serif" font-size="10">{names}</g>'
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/></svg>\n'
    )
