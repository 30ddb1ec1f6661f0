"""Images side by side for a report."""

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

CELL, SMALLEST = 112, 84  # pixels: the largest side of an image, and the least to which a small one is enlarged
CAPTION, GAP = 16, 4
WHITE, BLACK = (255, 255, 255), (20, 20, 20)


def draw_grid(images: Sequence[Image.Image], captions: Sequence[str], columns: int = 8) -> str:
    """An <img> of images, row by row, each over its caption, as a PNG inside the markup.

    Large images are shrunk to 112 pixels, small ones enlarged by whole factors, without smoothing.
    Raises ValueError where there is no image, or not one caption for each."""
    if len(images) == 0:
        raise ValueError("images: expected at least one, got none")
    if len(captions) != len(images):
        raise ValueError(f"captions: expected one for each of {len(images)} images, got {len(captions)}")
    columns = min(columns, len(images))
    cells = [_cell(image, caption) for image, caption in zip(images, captions, strict=True)]
    width, height = (max(getattr(cell, side) for cell in cells) for side in ("width", "height"))
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (columns * (width + GAP), rows * (height + GAP)), WHITE)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        page.paste(cell, (column * (width + GAP), row * (height + GAP)))
    return as_markup(page, f"{len(images)} images")


def as_markup(picture: Image.Image, words: str) -> str:
    """An <img> that holds the picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{words}" src="data:image/png;base64,{data}">'


def _cell(image: Image.Image, caption: str) -> Image.Image:
    longest = max(image.size)
    if longest > CELL:
        size = [max(1, round(side * CELL / longest)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    elif longest < SMALLEST:
        factor = -(-SMALLEST // longest)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    font = ImageFont.load_default()
    left, _, right, _ = font.getbbox(caption)
    cell = Image.new("RGB", (max(image.width, int(right - left)), image.height + CAPTION), WHITE)
    cell.paste(image.convert("RGB"), (0, 0))
    ImageDraw.Draw(cell).text((0, image.height + 2), caption, fill=BLACK, font=font)
    return cell
