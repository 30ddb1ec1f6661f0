"""Images side by side for a report, as SVG that holds them."""

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image

CELL, SMALLEST = 112, 84  # pixels: the largest side of an image, and the least to which a small one is enlarged
CAPTION, GAP, LETTER = 18, 6, 6.2  # pixels, as the width of a letter


def draw_grid(images: Sequence[Image.Image], captions: Sequence[str], columns: int = 6) -> str:
    """An <svg> of images, row by row, each over its caption; the images are PNGs inside the markup.

    Large images are shrunk to 112 pixels, small ones enlarged by whole factors, without smoothing.
    Raises ValueError where there is no image, or not one caption for each."""
    if len(images) == 0:
        raise ValueError("images: expected at least one, got none")
    if len(captions) != len(images):
        raise ValueError(f"captions: expected one for each of {len(images)} images, got {len(captions)}")
    columns, shown = min(columns, len(images)), [_resized(image) for image in images]
    width = max(*(image.width for image in shown), *(round(len(caption) * LETTER) for caption in captions)) + GAP
    height = max(image.height for image in shown) + CAPTION + GAP
    rows = -(-len(shown) // columns)
    cells = []
    for place, (image, caption) in enumerate(zip(shown, captions, strict=True)):
        x, y = place % columns * width, place // columns * height
        cells.append(
            f'<image x="{x}" y="{y}" width="{image.width}" height="{image.height}" href="{data_of(image)}"/>'
            f'<text x="{x}" y="{y + image.height + 13}">{html.escape(caption)}</text>'
        )
    size = f'width="{columns * width}" height="{rows * height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect width="100%" height="100%" fill="white"/>'
        f'<g font-family="sans-serif" font-size="11">{"".join(cells)}</g></svg>'
    )


def data_of(image: Image.Image) -> str:
    """The address of an image that holds it, as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _resized(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest > CELL:
        size = [max(1, round(side * CELL / longest)) for side in image.size]
        return image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    if longest < SMALLEST:
        factor = -(-SMALLEST // longest)
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    return image
