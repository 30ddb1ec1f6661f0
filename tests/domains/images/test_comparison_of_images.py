"""The page and the picture of a comparison of images: a row for each condition, each image over its reward."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from diffusers import DDPMPipeline, DDPMScheduler
from image_toys import small_unet

import svlearn as sv
from svlearn.cli.evaluate import draw_best
from svlearn.domains.images import DiffusersReference
from svlearn.domains.images.rewards import OnImages
from svlearn.evaluation.report.numbers import plain

SVG = "{http://www.w3.org/2000/svg}"


def brightness(images):
    return images.mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def reference():
    return DiffusersReference(DDPMPipeline(small_unet(11), DDPMScheduler()), num_steps=2, null_class=10)


@pytest.fixture(scope="module")
def compared(reference):
    target = sv.Target(OnImages(reference, brightness), alpha=0.1)
    samplers = {"plain": sv.ancestral(reference, target), "best of 2": sv.best_of_n(reference, target, 2)}
    return {number: sv.compare(samplers, 9, condition=list(range(number))) for number in (2, 10)}


def captions_of(page):
    """Those of each picture of samples."""
    sources = re.findall(r'alt="drawn samples" src="data:image/svg\+xml;base64,([^"]+)"', page)
    roots = [ET.fromstring(base64.b64decode(source)) for source in sources]
    assert all(len(list(root.iter(f"{SVG}image"))) == len(list(root.iter(f"{SVG}text"))) for root in roots)
    return [[text.text for text in root.iter(f"{SVG}text")] for root in roots]


@pytest.mark.parametrize("number", [2, 10])
def test_each_class_is_a_row_of_each_sampler(compared, number, tmp_path):
    comparison = compared[number]
    page = comparison.to_html(tmp_path / "page.html").read_text()
    shown = page[page.index("<h2>Samples</h2>") :]
    assert re.findall(r"<h4>(.+)</h4>", shown) == [str(label) for label in range(number)] * 2
    captions = captions_of(page)
    assert captions == captions_of(shown)
    galleries = [comparison.by_condition[str(c)].galleries[name] for name in comparison.figures for c in range(number)]
    wanted = [picked[:6] for gallery in galleries for picked in (gallery.best, gallery.random)]
    assert captions == [[plain(reward, 3) for _, reward in each] for each in wanted]


def test_many_classes_have_fewer_pictures_each_and_the_last_none(compared, tmp_path):
    whole = compared[10]
    parts = {f"prompt {i}": whole.by_condition[str(i % 10)] for i in range(40)}
    many = type(whole)(rewards=whole.rewards, figures=whole.figures, galleries=whole.galleries, by_condition=parts)
    page = many.to_html(tmp_path / "page.html").read_text()
    assert "Of the last 8 conditions there are no pictures." in page
    assert [len(each) for each in captions_of(page)] == [2] * (2 * 2 * 32)


def test_the_picture_of_the_best_has_each_class_in_its_row(compared, reference, tmp_path):
    draw_best(compared[2], reference, tmp_path / "best.svg")
    root = ET.parse(tmp_path / "best.svg").getroot()
    texts = [text.text for text in root.iter(f"{SVG}text")]
    best = {
        name: [compared[2].by_condition[label].galleries[name].best for label in "01"]
        for name in ("plain", "best of 2")
    }
    ranks = [(name, rank, label) for name in best for rank in range(3) for label in (0, 1)]
    assert texts == [f"{name}, {label}: {best[name][label][rank][1]:.3f}" for name, rank, label in ranks]
    heights = [each.get("y") for each in root.iter(f"{SVG}image")]
    assert len(set(heights[:6])) == len(set(heights[6:])) == 1 and heights[0] != heights[6]
