"""Grids of images for a report: the images themselves are in them, each with its words."""

import base64
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from svlearn.domains.images.drawing import draw_grid

SVG = "{http://www.w3.org/2000/svg}"


def drawn(markup):
    root = ET.fromstring(markup)
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(each.get("href").partition(",")[2])))
        for each in root.iter(f"{SVG}image")
    ]
    return root, pictures, [each.text for each in root.iter(f"{SVG}text")]


def test_a_small_image_is_enlarged_without_a_pixel_changed():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    _, (picture,), words = drawn(draw_grid([Image.fromarray(pixels, "L")], ["r < 0.5 & so on"]))
    assert words == ["r < 0.5 & so on"]
    assert picture.size == (88, 88)
    np.testing.assert_array_equal(np.asarray(picture)[5::11, 5::11], pixels)


def test_a_large_image_is_shrunk_and_keeps_its_shape():
    _, (picture,), _ = drawn(draw_grid([Image.new("RGB", (1024, 512), (255, 0, 0))], ["red"]))
    assert picture.size == (112, 56)
    assert picture.getpixel((50, 20)) == (255, 0, 0)


def test_images_stand_in_rows_of_six_apart_from_each_other():
    root, pictures, words = drawn(draw_grid([Image.new("L", (28, 28))] * 10, [f"image {i}" for i in range(10)]))
    assert len(pictures) == 10
    assert words[9] == "image 9"
    places = [(int(each.get("x")), int(each.get("y"))) for each in root.iter(f"{SVG}image")]
    assert len(set(places)) == 10
    assert [places[i][1] for i in (0, 5, 6, 9)] == [0, 0, places[6][1], places[6][1]]
    assert places[6][0] == 0 < places[6][1]


@pytest.mark.parametrize(("images", "captions"), [([], []), ([Image.new("L", (2, 2))], [])])
def test_no_image_and_a_missing_caption_are_refused(images, captions):
    with pytest.raises(ValueError, match="expected"):
        draw_grid(images, captions)
